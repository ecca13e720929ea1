// libnccl.so: communicators and their calls. A group of calls is work for the stream, which it keeps busy until all the ranks that
// it needs have come so far; nothing waits here.
#include <pthread.h>

#include <cstring>

#include "nccl.hpp"

using namespace sim;
using namespace sim::nccl;

namespace {

struct Id {
    char internal[128];
};
// As the real one, up to what is looked at.
struct Config {
    std::size_t size;
    unsigned magic, version;
    int blocking;
};

std::map<std::string, std::shared_ptr<World>> worlds;
std::set<Comm*> comms;  // the others that a handle may name have been aborted or destroyed

struct Group {
    Comm* comm;
    std::shared_ptr<World> world;
    void* stream;
    std::vector<std::shared_ptr<Call>> calls;
    std::uint64_t number = 0;
    bool is_stuck = false;
};
thread_local int depth = 0;
thread_local std::vector<std::shared_ptr<Group>> open;

Result refuse(Result result, const std::string& text) {
    violation("NCCL: " + text);
    return result;
}

std::string name(const Comm& comm) { return "rank " + std::to_string(comm.rank) + " of " + std::to_string(comm.world->ranks.size()); }

// Calls with this number have arrived on all ranks.
void meet(const std::map<int, std::shared_ptr<Call>>& arrived) {
    std::vector<Call*> calls;
    for (auto& [rank, call] : arrived) calls.push_back(call.get());
    for (Call* call : calls) {
        const Call& first = *calls[0];
        if (call->kind == first.kind && call->count == first.count && call->type == first.type && call->op == first.op && call->root == first.root) continue;
        violation("NCCL: ranks meet in different calls: " + first.describe() + "; " + call->describe());
        return;  // a device would hang, or compute something
    }
    nccl::run(calls);
}

// The stream has come to this group.
void arrive(Group& group) {
    const State& s = state();
    Comm& comm = *group.comm;
    if (s.failing_group && comm.rank == s.failing_rank && group.number == s.failing_group) {
        if (s.failure_is_told) comm.async = SYSTEM_ERROR;
        group.is_stuck = true;
        return;
    }
    World& world = *group.world;
    for (auto& call : group.calls) {
        if (call->kind != SEND && call->kind != RECEIVE) {
            auto& arrived = world.collectives[call->number];
            arrived[comm.rank] = call;
            if (arrived.size() < world.ranks.size()) continue;
            meet(arrived);
            world.collectives.erase(call->number);
            continue;
        }
        const bool is_send = call->kind == SEND;
        const std::tuple<int, int, std::uint64_t> key{is_send ? comm.rank : call->root, is_send ? call->root : comm.rank, call->number};
        auto& both = world.messages[key];
        both[call->kind] = call;
        if (both.size() < 2) continue;
        Call &send = *both[SEND], &receive = *both[RECEIVE];
        if (send.count != receive.count || send.type != receive.type) {
            violation("NCCL: " + send.describe() + " meets " + receive.describe());
        } else {
            nccl::run(send, receive);
            send.is_over = receive.is_over = true;
        }
        world.messages.erase(key);
    }
}

// Queues what has been called on one communicator.
Result launch(const std::shared_ptr<Group>& group) {
    Comm& comm = *group->comm;
    Stream* stream = stream_of(group->stream, comm.device);
    if (!stream) return refuse(INVALID_USAGE, "a stream of another device than the communicator's");
    if (stream->capture) return refuse(INVALID_USAGE, "a captured stream, which is not simulated");
    group->number = ++comm.groups, comm.queued++;
    comm.is_busy = !comm.blocking;
    state().counters.collective_groups++;
    Operation operation{"NCCL", {}, [group] {
                            if (comms.count(group->comm)) group->comm->queued--;
                            return SUCCESS;
                        }};
    for (auto& call : group->calls)
        for (const Access& access : call->accesses(comm.rank, comm.world->ranks.size())) operation.accesses.push_back(access);
    auto has_arrived = std::make_shared<bool>(false);
    operation.ready = [=] {
        if (!comms.count(group->comm)) {  // aborted: what was to be received is not defined
            for (auto& call : group->calls)
                if (auto* to = call->is_over || call->kind == SEND ? nullptr : call->to; containing(reinterpret_cast<Address>(to), call->bytes()))
                    poison(to, call->bytes(), POISON_FRESH);
            return true;
        }
        if (!*has_arrived) *has_arrived = true, arrive(*group);
        for (auto& call : group->calls)
            if (!call->is_over) return false;
        return !group->is_stuck;
    };
    if (enqueue(*stream, std::move(operation))) return CUDA_ERROR;
    return comm.blocking ? OK : IN_PROGRESS;
}

Result check(Comm* comm) {
    if (!comms.count(comm)) return refuse(INVALID_ARGUMENT, "a communicator that has been aborted or destroyed");
    if (comm->is_busy) return refuse(INVALID_USAGE, name(*comm) + " calls while its last call is in progress");
    if (current_device() != comm->device) return refuse(INVALID_USAGE, name(*comm) + " calls in the context of another device");
    return OK;
}

Result add(Comm* comm, void* stream, Call call) {
    Lock lock;
    if (Result refused = check(comm)) return refused;
    const int size = comm->world->ranks.size();
    const bool reduces = call.kind == ALL_REDUCE || call.kind == REDUCE || call.kind == REDUCE_SCATTER;
    if (!nccl::size_of(call.type) || call.root < 0 || call.root >= size) return INVALID_ARGUMENT;
    if (reduces && ((call.type != FLOAT32 && call.type != FLOAT64) || call.op < SUM || call.op > MIN)) return INVALID_ARGUMENT;
    for (const Access& access : call.accesses(comm->rank, size)) {
        const Allocation* a = containing(access.address, access.bytes);
        if (!a || a->device != comm->device)
            return refuse(INVALID_ARGUMENT, name(*comm) + ", " + call.describe() + ": " + std::to_string(access.bytes) + " bytes at " + describe(access.address));
    }
    if (depth == 0) {
        for (Comm* other : comm->world->ranks)
            if (other && other != comm && other->thread == pthread_self())
                return refuse(INVALID_USAGE, "one thread calls for two ranks outside a group, where the first would wait for the second");
        comm->thread = pthread_self();
    }
    call.number = call.kind == SEND ? comm->sent[call.root]++ : call.kind == RECEIVE ? comm->received[call.root]++ : comm->collectives++;
    state().counters.collective_calls++;
    auto queued = std::make_shared<Call>(call);
    for (auto& group : open)
        if (group->comm == comm) {
            if (group->stream != stream) return refuse(INVALID_USAGE, "two streams of one communicator in a group");
            return group->calls.push_back(queued), OK;
        }
    auto group = std::make_shared<Group>(Group{comm, comm->world, stream, {queued}});
    if (depth == 0) return launch(group);
    return open.push_back(group), OK;
}

std::shared_ptr<World> world_of(int size) {
    auto world = std::make_shared<World>();
    world->ranks.resize(size);
    return world;
}

Result join(const std::shared_ptr<World>& world, int rank, int device, bool blocking, Comm** out) {
    if (rank < 0 || std::size_t(rank) >= world->ranks.size()) return INVALID_ARGUMENT;
    if (world->ranks[rank]) return refuse(INVALID_USAGE, "rank " + std::to_string(rank) + " joins twice");
    for (Comm* other : world->ranks)
        if (other && other->device == device) return INVALID_USAGE;  // "Duplicate GPU"
    *out = world->ranks[rank] = new Comm{world, rank, device, blocking, !blocking};
    comms.insert(*out);
    world->joined++;
    advance();
    return OK;
}

bool has_joined(const World& world) { return std::size_t(world.joined) == world.ranks.size(); }

void leave(Comm* comm) {
    comms.erase(comm);  // but not deleted: its handle is recognised
    World& world = *comm->world;
    world.ranks[comm->rank] = nullptr;
    for (auto& [number, arrived] : world.collectives) arrived.erase(comm->rank);
    for (auto& [key, both] : world.messages) {
        if (std::get<0>(key) == comm->rank) both.erase(SEND);
        if (std::get<1>(key) == comm->rank) both.erase(RECEIVE);
    }
    advance();
}

}  // namespace

EXPORT Result ncclGetVersion(int* version) { return *version = 23000, OK; }
EXPORT const char* ncclGetErrorString(Result result) {
    static const char* texts[] = {"no error", "unhandled cuda error", "unhandled system error", "internal error", "invalid argument", "invalid usage", "remote process exited or there was a network error", "NCCL operation in progress"};
    return result >= 0 && result <= 7 ? texts[result] : "unknown result code";
}
EXPORT const char* ncclGetLastError(Comm*) { return ""; }
EXPORT Result ncclGetUniqueId(Id* id) {
    Lock lock;
    static std::uint64_t next = 1;
    std::memset(id, 0, sizeof *id);
    std::memcpy(id->internal, &next, sizeof next);
    next++;
    return OK;
}
EXPORT Result ncclCommInitRankConfig(Comm** out, int size, Id id, int rank, const Config* config) {
    Lock lock;
    if (config && config->magic != 0xcafebeef) return INVALID_ARGUMENT;
    const bool blocking = !config || config->blocking != 0;  // INT_MIN: as by default
    if (size < 1 || current_device() < 0) return INVALID_ARGUMENT;
    auto& world = worlds[std::string(id.internal, sizeof id.internal)];
    if (!world) world = world_of(size);
    if (world->ranks.size() != std::size_t(size)) return refuse(INVALID_ARGUMENT, "ranks that share an id have other sizes");
    auto joined = world;
    if (Result refused = join(joined, rank, current_device(), blocking, out)) return refused;
    if (!blocking) return IN_PROGRESS;
    return wait_until([=] { return has_joined(*joined); }) ? SYSTEM_ERROR : OK;
}
EXPORT Result ncclCommInitRank(Comm** out, int size, Id id, int rank) { return ncclCommInitRankConfig(out, size, id, rank, nullptr); }
EXPORT Result ncclCommInitAll(Comm** out, int size, const int* devices) {
    Lock lock;
    auto world = world_of(size);
    for (int rank = 0; rank < size; rank++)
        if (Result refused = join(world, rank, devices ? devices[rank] : rank, true, &out[rank])) return refused;
    return OK;
}
EXPORT Result ncclCommGetAsyncError(Comm* comm, Result* async) {
    Lock lock;
    if (!comms.count(comm)) return refuse(INVALID_ARGUMENT, "a communicator that has been aborted or destroyed");
    *async = comm->async ? comm->async : comm->is_busy ? IN_PROGRESS : OK;
    if (has_joined(*comm->world)) comm->is_busy = false;
    return OK;
}
EXPORT Result ncclCommFinalize(Comm* comm) {
    Lock lock;
    if (Result refused = check(comm)) return refused;
    if (comm->blocking) return wait_until([=] { return comm->queued == 0; }) ? SYSTEM_ERROR : OK;
    comm->is_busy = true;
    return IN_PROGRESS;
}
EXPORT Result ncclCommDestroy(Comm* comm) {
    Lock lock;
    if (Result refused = check(comm)) return refused;
    if (comm->queued) violation("NCCL: " + name(*comm) + " is destroyed before its work is done");
    leave(comm);
    return OK;
}
EXPORT Result ncclCommAbort(Comm* comm) {
    Lock lock;
    if (!comms.count(comm)) return refuse(INVALID_ARGUMENT, "a communicator that has been aborted or destroyed");
    leave(comm);
    return OK;
}
EXPORT Result ncclCommCount(Comm* comm, int* count) {
    Lock lock;
    return comms.count(comm) ? (*count = comm->world->ranks.size(), OK) : INVALID_ARGUMENT;
}
EXPORT Result ncclCommCuDevice(Comm* comm, int* device) {
    Lock lock;
    return comms.count(comm) ? (*device = comm->device, OK) : INVALID_ARGUMENT;
}
EXPORT Result ncclCommUserRank(Comm* comm, int* rank) {
    Lock lock;
    return comms.count(comm) ? (*rank = comm->rank, OK) : INVALID_ARGUMENT;
}
EXPORT Result ncclGroupStart() { return depth++, OK; }
EXPORT Result ncclGroupEnd() {
    Lock lock;
    if (depth == 0) return refuse(INVALID_USAGE, "the end of a group that has not begun");
    if (--depth) return OK;
    Result result = OK;
    for (auto& group : open)
        if (Result launched = launch(group)) result = launched;
    open.clear();
    return result;
}

static const char* source(const void* at) { return static_cast<const char*>(at); }
static char* target(void* at) { return static_cast<char*>(at); }

EXPORT Result ncclAllReduce(const void* from, void* to, std::size_t count, int type, int op, Comm* comm, void* stream) {
    return add(comm, stream, {ALL_REDUCE, source(from), target(to), count, type, op, 0});
}
EXPORT Result ncclReduce(const void* from, void* to, std::size_t count, int type, int op, int root, Comm* comm, void* stream) {
    return add(comm, stream, {REDUCE, source(from), target(to), count, type, op, root});
}
EXPORT Result ncclBroadcast(const void* from, void* to, std::size_t count, int type, int root, Comm* comm, void* stream) {
    return add(comm, stream, {BROADCAST, source(from), target(to), count, type, SUM, root});
}
EXPORT Result ncclAllGather(const void* from, void* to, std::size_t count, int type, Comm* comm, void* stream) {
    return add(comm, stream, {ALL_GATHER, source(from), target(to), count, type, SUM, 0});
}
EXPORT Result ncclReduceScatter(const void* from, void* to, std::size_t count, int type, int op, Comm* comm, void* stream) {
    return add(comm, stream, {REDUCE_SCATTER, source(from), target(to), count, type, op, 0});
}
EXPORT Result ncclSend(const void* from, std::size_t count, int type, int peer, Comm* comm, void* stream) {
    return add(comm, stream, {SEND, source(from), nullptr, count, type, SUM, peer});
}
EXPORT Result ncclRecv(void* to, std::size_t count, int type, int peer, Comm* comm, void* stream) {
    return add(comm, stream, {RECEIVE, nullptr, target(to), count, type, SUM, peer});
}
