// Streams: operations run at once, in the order of the calls, unless one has to wait for other ranks: then it and what comes
// after it stay in the stream's queue. What real hardware could reorder is checked: two uses of an allocation, one of them a
// write, must be ordered by a stream, an event or a wait of the host.
#include <algorithm>
#include <chrono>
#include <condition_variable>

#include "simulator.hpp"

namespace sim {

void merge(Clock& into, const Clock& from) {
    for (auto& [stream, tick] : from) {
        auto& known = into[stream];
        if (known < tick) known = tick;
    }
}

int& current_device() {
    static thread_local int device = -1;
    return device;
}

Stream* make_stream(int device, bool blocking) {
    static std::uint64_t next = 1;
    auto* stream = new Stream{next++, device, blocking, {}, nullptr, SUCCESS, {}};
    state().streams.insert(stream);
    return stream;
}

Stream* stream_of(void* handle, int device) {
    Context& context = state().contexts[device];
    auto number = reinterpret_cast<Address>(handle);
    if (number == 0 || number == 1) return context.default_stream;
    if (number == 2) return context.per_thread_stream;
    auto* stream = static_cast<Stream*>(handle);
    return state().streams.count(stream) && stream->device == device ? stream : nullptr;
}

namespace {

std::vector<Stream*> retired;  // destroyed, with work left
std::condition_variable_any changed;

bool knows(const Clock& clock, std::uint64_t stream, std::uint64_t tick) {
    auto at = clock.find(stream);
    return at != clock.end() && at->second >= tick;
}

// The default stream waits for the blocking streams of its device and they for it.
void order(Stream& stream) {
    State& s = state();
    merge(stream.clock, s.host);
    Stream* standard = s.contexts[stream.device].default_stream;
    if (&stream == standard) {
        for (Stream* other : s.streams)
            if (other->device == stream.device && other->blocking) merge(stream.clock, other->clock);
    } else if (stream.blocking) {
        merge(stream.clock, standard->clock);
    }
}

void record(Stream& stream, const Operation& operation, const Access& access, Allocation& a) {
    auto unordered = [&](const char* what) {
        violation(operation.name + " on stream " + std::to_string(stream.id) + " uses an allocation of " + std::to_string(a.size) +
                  " bytes that another stream " + what + ", with no event or wait between");
    };
    std::uint64_t tick = stream.clock[stream.id];
    if (a.writer && a.writer != stream.id && !knows(stream.clock, a.writer, a.writer_tick)) unordered("writes");
    if (access.write) {
        for (auto& [reader, at] : a.readers)
            if (reader != stream.id && !knows(stream.clock, reader, at)) {
                unordered("reads");
                break;
            }
        a.writer = stream.id, a.writer_tick = tick;
        a.readers.clear();
    } else {
        a.readers[stream.id] = tick;
    }
}

}  // namespace

Status execute(Stream& stream, const Operation& operation) {
    order(stream);
    stream.clock[stream.id]++;
    for (const Access& access : operation.accesses) {
        Allocation* a = containing(access.address, access.bytes);
        if (!a || a->device != stream.device)
            return fault(stream.device, ILLEGAL_ADDRESS, operation.name + " uses " + describe(access.address));
        record(stream, operation, access, *a);
    }
    Status status = operation.run();
    for (const Access& access : operation.accesses)
        if (Allocation* a = containing(access.address, 0)) check_canaries(*a, "after " + operation.name);
    return status;
}

Status enqueue(Stream& stream, Operation operation) {
    State& s = state();
    if (s.until_failure && --s.until_failure == 0) return LAUNCH_FAILED;
    if (!stream.capture) return submit(stream, std::move(operation));
    stream.capture->operations.push_back(std::move(operation));
    return SUCCESS;
}

Status submit(Stream& stream, Operation operation) {
    if (stream.queue.empty() && !operation.ready) return execute(stream, operation);
    stream.queue.push_back(std::move(operation));
    advance();
    return SUCCESS;
}

namespace {

bool advance(Stream& stream) {
    bool moved = false;
    while (!stream.queue.empty()) {
        Operation& first = stream.queue.front();
        moved |= first.ready && !first.asked;  // to be asked may be what others wait for
        first.asked = true;
        if (first.ready && !first.ready()) break;
        Operation operation = std::move(first);
        stream.queue.pop_front();
        execute(stream, operation);
        moved = true;
    }
    return moved;
}

}  // namespace

void advance() {
    for (bool moved = true; moved;) {
        moved = false;
        for (Stream* stream : state().streams) moved |= advance(*stream);
        for (Stream* stream : retired) moved |= advance(*stream);
    }
    auto idle = std::partition(retired.begin(), retired.end(), [](Stream* stream) { return !stream->queue.empty(); });
    std::for_each(idle, retired.end(), [](Stream* stream) { delete stream; });
    retired.erase(idle, retired.end());
    changed.notify_all();
}

void retire(Stream* stream) {
    retired.push_back(stream);
    advance();
}

Status wait_until(const std::function<bool()>& is_over) {
    if (changed.wait_for(state().lock, std::chrono::seconds(30), is_over)) return SUCCESS;
    violation("the host waits for a device that waits for other ranks, for 30 s now");
    return LAUNCH_TIMEOUT;
}

}  // namespace sim
