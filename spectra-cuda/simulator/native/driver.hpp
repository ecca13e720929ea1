// How every call of the driver that works in a context begins.
#pragma once
#include "simulator.hpp"

namespace sim {

// The device bound to this thread and SUCCESS, or why no call can work there.
Status entry(int& device);

// What may not happen while a stream is captured; it ends the capture.
inline Status forbid_capture(Stream& stream) {
    if (!stream.capture) return SUCCESS;
    stream.capture_error = STREAM_CAPTURE_INVALIDATED;
    return STREAM_CAPTURE_UNSUPPORTED;
}

// The host waits for a stream and knows then what it has done. With the lock taken once.
inline Status wait_for(Stream& stream) {
    if (Status status = wait_until([&] { return stream.queue.empty(); })) return status;
    merge(state().host, stream.clock);
    return SUCCESS;
}

inline Status wait_for_device(int device) {
    const std::set<Stream*> streams = state().streams;
    for (Stream* stream : streams)
        if (stream->device == device)
            if (Status status = wait_for(*stream)) return status;
    return SUCCESS;
}

}  // namespace sim

#define WITH_CONTEXT \
    Lock lock;       \
    int device = -1; \
    if (Status status = entry(device)) return status
#define WITH_STREAM(handle)                      \
    WITH_CONTEXT;                                \
    Stream* stream = stream_of(handle, device);  \
    if (!stream) return INVALID_HANDLE
