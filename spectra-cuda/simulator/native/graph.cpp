// libcuda.so: a captured stream keeps its operations instead of running them; a graph replays them in their order.
// Memory cannot be allocated or freed in a capture (real CUDA makes nodes of that).
#include "simulator.hpp"

using namespace sim;

namespace {
std::map<const void*, std::shared_ptr<Graph>> graphs;  // by handle, captured and instantiated ones

Stream* bound(void* handle) { return current_device() < 0 ? nullptr : stream_of(handle, current_device()); }
}  // namespace

EXPORT Status cuStreamBeginCapture_v2(void* handle, int) {
    Lock lock;
    Stream* stream = bound(handle);
    if (!stream) return INVALID_HANDLE;
    if (stream == state().contexts[stream->device].default_stream) return STREAM_CAPTURE_UNSUPPORTED;
    if (stream->capture) return INVALID_VALUE;
    stream->capture = std::make_shared<Graph>();
    stream->capture_error = SUCCESS;
    return SUCCESS;
}

EXPORT Status cuStreamEndCapture(void* handle, const void** graph) {
    Lock lock;
    Stream* stream = bound(handle);
    if (!stream) return INVALID_HANDLE;
    *graph = nullptr;
    if (!stream->capture) return INVALID_VALUE;
    auto captured = stream->capture;
    Status error = SUCCESS;
    for (Stream* other : state().streams) {
        if (other->capture != captured) continue;
        if (other->capture_error) error = other->capture_error;
        other->capture = nullptr;
        other->capture_error = SUCCESS;
    }
    if (error) return error;
    *graph = captured.get();
    graphs[*graph] = captured;
    return SUCCESS;
}

EXPORT Status cuStreamIsCapturing(void* handle, int* status) {
    Lock lock;
    Stream* stream = bound(handle);
    if (!stream) return INVALID_HANDLE;
    *status = !stream->capture ? 0 : stream->capture_error ? 2 : 1;
    return SUCCESS;
}

EXPORT Status cuGraphInstantiateWithFlags(const void** out, const void* graph, unsigned long long flags) {
    Lock lock;
    auto at = graphs.find(graph);
    if (at == graphs.end() || (flags & 4)) return INVALID_VALUE;  // no launch from the device
    auto copy = std::make_shared<Graph>(*at->second);
    *out = copy.get();
    graphs[*out] = copy;
    return SUCCESS;
}

EXPORT Status cuGraphLaunch(const void* graph, void* handle) {
    Lock lock;
    Stream* stream = bound(handle);
    auto at = graphs.find(graph);
    if (!stream || at == graphs.end()) return INVALID_HANDLE;
    if (Status sticky = state().contexts[stream->device].sticky) return sticky;
    if (state().until_failure && --state().until_failure == 0) return LAUNCH_FAILED;  // the launch as a whole
    if (stream->capture) return NOT_SUPPORTED;  // real CUDA makes a node of it
    state().counters.graph_launches++;
    for (const Operation& operation : at->second->operations) {
        Status status = submit(*stream, operation);
        if (status) return state().contexts[stream->device].sticky ? SUCCESS : status;  // a fault is reported by the next call
    }
    return SUCCESS;
}

EXPORT Status cuGraphUpload(const void* graph, void*) {
    Lock lock;
    return graphs.count(graph) ? SUCCESS : INVALID_HANDLE;
}
EXPORT Status cuGraphDestroy(const void* graph) {
    Lock lock;
    return graphs.erase(graph) ? SUCCESS : INVALID_HANDLE;
}
EXPORT Status cuGraphExecDestroy(const void* graph) { return cuGraphDestroy(graph); }
