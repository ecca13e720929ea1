// libnccl.so: what the collectives compute.
#include <cmath>
#include <cstring>

#include "nccl.hpp"

namespace sim::nccl {
namespace {

// Entry i over all ranks, from rank i mod N on: on a ring each part of a message begins at another rank. A test that takes this for
// the order of the ranks fails.
template <class T> T reduced(const std::vector<const char*>& from, std::size_t i, int op) {
    auto at = [&](std::size_t rank) { return reinterpret_cast<const T*>(from[rank % from.size()])[i]; };
    T result = at(i);
    for (std::size_t step = 1; step < from.size(); step++) {
        T x = at(i + step);
        // As the device's fmax and fmin: NaN is dropped.
        result = op == SUM ? result + x : op == PRODUCT ? result * x : op == MAX ? std::fmax(result, x) : std::fmin(result, x);
    }
    return result;
}

template <class T> void reduce(const std::vector<const char*>& from, std::size_t count, int op, std::vector<char>& into) {
    into.resize(count * sizeof(T));
    for (std::size_t i = 0; i < count; i++) reinterpret_cast<T*>(into.data())[i] = reduced<T>(from, i, op);
}

}  // namespace

std::size_t size_of(int type) {
    static const std::size_t sizes[] = {1, 1, 4, 4, 8, 8, 2, 4, 8, 2, 1, 1};
    return type < 0 || type > 11 ? 0 : sizes[type];
}

std::size_t Call::bytes() const { return count * size_of(type); }

std::vector<Access> Call::accesses(int rank, int size) const {
    std::vector<Access> all;
    auto add = [&](const void* at, std::size_t times, bool write) {
        if (count) all.push_back({reinterpret_cast<Address>(at), bytes() * times, write});
    };
    if (kind != RECEIVE && (kind != BROADCAST || rank == root)) add(from, kind == REDUCE_SCATTER ? size : 1, false);
    if (kind != SEND && (kind != REDUCE || rank == root)) add(to, kind == ALL_GATHER ? size : 1, true);
    return all;
}

std::string Call::describe() const {
    static const char* names[] = {"ncclAllReduce", "ncclReduce", "ncclBroadcast", "ncclAllGather", "ncclReduceScatter", "ncclSend", "ncclRecv"};
    return std::string(names[kind]) + " of " + std::to_string(count) + " of type " + std::to_string(type) + ", operation " + std::to_string(op) + ", root " +
           std::to_string(root);
}

void run(const std::vector<Call*>& calls) {
    const Call& first = *calls[0];
    const std::size_t size = calls.size(), bytes = first.bytes();
    // All is read before anything is written: in place is allowed.
    std::vector<char> result;
    if (first.kind == BROADCAST) {
        result.assign(calls[first.root]->from, calls[first.root]->from + bytes);
    } else if (first.kind == ALL_GATHER) {
        for (Call* call : calls) result.insert(result.end(), call->from, call->from + bytes);
    } else {
        std::vector<const char*> from;
        for (Call* call : calls) from.push_back(call->from);
        const std::size_t count = first.count * (first.kind == REDUCE_SCATTER ? size : 1);
        first.type == FLOAT32 ? reduce<float>(from, count, first.op, result) : reduce<double>(from, count, first.op, result);
    }
    // What a ring of the ranks sends, all together.
    static const std::size_t factors[] = {2, 1, 1, 0, 0};
    auto& sent = state().counters.collective_bytes;
    sent += first.kind == ALL_GATHER || first.kind == REDUCE_SCATTER ? size * (size - 1) * bytes : factors[first.kind] * (size - 1) * bytes;
    for (std::size_t rank = 0; rank < size; rank++) {
        calls[rank]->is_over = true;
        if (first.kind == REDUCE && int(rank) != first.root) continue;
        const char* part = result.data() + (first.kind == REDUCE_SCATTER ? rank * bytes : 0);
        std::memcpy(calls[rank]->to, part, first.kind == REDUCE_SCATTER ? bytes : result.size());
    }
}

void run(const Call& send, Call& receive) {
    std::memmove(receive.to, send.from, receive.bytes());
    state().counters.collective_bytes += receive.bytes();
}

}  // namespace sim::nccl
