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

}  // namespace sim

#define WITH_CONTEXT \
    Lock lock;       \
    int device = -1; \
    if (Status status = entry(device)) return status
#define WITH_STREAM(handle)                      \
    WITH_CONTEXT;                                \
    Stream* stream = stream_of(handle, device);  \
    if (!stream) return INVALID_HANDLE
