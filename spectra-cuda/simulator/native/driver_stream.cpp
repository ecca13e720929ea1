// libcuda.so: streams and events.
#include <chrono>

#include "driver.hpp"

using namespace sim;

namespace {

// What was recorded last; the stream's queue and those who wait for it keep it.
struct Record {
    bool is_over = false;
    Clock clock;
};
struct Event {
    int device;
    bool timing;
    double time = 0;
    std::shared_ptr<Record> record = nullptr;
    std::shared_ptr<Graph> capture = nullptr;
};

std::set<Event*> events;

double milliseconds() {
    return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

}  // namespace

EXPORT Status cuStreamCreate(Stream** out, unsigned flags) {
    WITH_CONTEXT;
    if (flags > 1) return INVALID_VALUE;
    *out = make_stream(device, flags == 0);
    state().counters.streams_alive++, state().counters.streams_total++;
    return SUCCESS;
}
EXPORT Status cuStreamCreateWithPriority(Stream** out, unsigned flags, int) { return cuStreamCreate(out, flags); }
EXPORT Status cuStreamDestroy_v2(void* handle) {
    WITH_STREAM(handle);
    if (stream == state().contexts[device].default_stream || stream == state().contexts[device].per_thread_stream) return INVALID_HANDLE;
    merge(state().contexts[device].default_stream->clock, stream->clock);  // a later wait for the device covers its work
    state().streams.erase(stream);
    state().counters.streams_alive--;
    retire(stream);
    return SUCCESS;
}
EXPORT Status cuStreamSynchronize(void* handle) {
    WITH_STREAM(handle);
    if (Status status = forbid_capture(*stream)) return status;
    state().counters.stream_waits++;
    return wait_for(*stream);
}
EXPORT Status cuStreamQuery(void* handle) {
    WITH_STREAM(handle);
    if (Status status = forbid_capture(*stream)) return status;
    if (!stream->queue.empty()) return NOT_READY;
    merge(state().host, stream->clock);
    return SUCCESS;
}
EXPORT Status cuStreamWaitEvent(void* handle, Event* event, unsigned) {
    WITH_STREAM(handle);
    if (!events.count(event)) return INVALID_HANDLE;
    if (!event->record) return SUCCESS;
    if (event->capture) {
        if (stream->capture && stream->capture != event->capture) return STREAM_CAPTURE_ISOLATION;
        stream->capture = event->capture;  // joins the capture
        return SUCCESS;
    }
    if (stream->capture) return STREAM_CAPTURE_ISOLATION;
    std::shared_ptr<Record> record = event->record;
    if (record->is_over && stream->queue.empty()) return merge(stream->clock, record->clock), SUCCESS;
    return submit(*stream, {"wait for an event", {}, [=] { return merge(stream->clock, record->clock), SUCCESS; }, [=] { return record->is_over; }});
}
EXPORT Status cuEventCreate(Event** out, unsigned flags) {
    WITH_CONTEXT;
    *out = new Event{device, (flags & 2) == 0};
    events.insert(*out);
    state().counters.events_alive++, state().counters.events_total++;
    return SUCCESS;
}
EXPORT Status cuEventDestroy_v2(Event* event) {
    Lock lock;
    if (!events.erase(event)) return INVALID_HANDLE;
    state().counters.events_alive--;
    delete event;
    return SUCCESS;
}
EXPORT Status cuEventRecord(Event* event, void* handle) {
    WITH_STREAM(handle);
    if (!events.count(event) || event->device != device) return INVALID_HANDLE;
    auto record = event->record = std::make_shared<Record>();
    event->capture = stream->capture;
    event->time = milliseconds();
    return submit(*stream, {"event", {}, [=] { return record->is_over = true, record->clock = stream->clock, SUCCESS; }});
}
EXPORT Status cuEventQuery(Event* event) {
    WITH_CONTEXT;
    if (!events.count(event)) return INVALID_HANDLE;
    if (event->capture) return STREAM_CAPTURE_UNSUPPORTED;
    if (!event->record) return SUCCESS;
    if (!event->record->is_over) return NOT_READY;
    merge(state().host, event->record->clock);
    return SUCCESS;
}
EXPORT Status cuEventSynchronize(Event* event) {
    WITH_CONTEXT;
    if (!events.count(event)) return INVALID_HANDLE;
    if (event->capture) return STREAM_CAPTURE_UNSUPPORTED;
    state().counters.event_waits++;
    std::shared_ptr<Record> record = event->record;
    if (!record) return SUCCESS;
    if (Status status = wait_until([&] { return record->is_over; })) return status;
    merge(state().host, record->clock);
    return SUCCESS;
}
EXPORT Status cuEventElapsedTime(float* elapsed, Event* start, Event* end) {
    WITH_CONTEXT;
    if (!events.count(start) || !events.count(end) || !start->record || !end->record || !start->timing || !end->timing) return INVALID_HANDLE;
    *elapsed = float(end->time - start->time);
    return SUCCESS;
}
EXPORT Status cuEventElapsedTime_v2(float* elapsed, Event* start, Event* end) { return cuEventElapsedTime(elapsed, start, end); }
