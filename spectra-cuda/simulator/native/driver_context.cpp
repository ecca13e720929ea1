// libcuda.so: errors, devices, contexts.
#include <cstdio>
#include <cstring>

#include "driver.hpp"

using namespace sim;

namespace {

bool initialized = false;

bool is_device(int device) { return device >= 0 && device < state().device_count; }

}  // namespace

Status sim::entry(int& device) {
    if (!initialized) return NOT_INITIALIZED;
    device = current_device();
    if (device < 0) return INVALID_CONTEXT;
    const Context& context = state().contexts[device];
    return context.retained ? context.sticky : CONTEXT_IS_DESTROYED;
}

EXPORT Status cuGetErrorName(Status status, const char** out) {
    static const std::map<int, const char*> names = {
        {SUCCESS, "CUDA_SUCCESS"}, {INVALID_VALUE, "CUDA_ERROR_INVALID_VALUE"}, {OUT_OF_MEMORY, "CUDA_ERROR_OUT_OF_MEMORY"},
        {NOT_INITIALIZED, "CUDA_ERROR_NOT_INITIALIZED"}, {INVALID_DEVICE, "CUDA_ERROR_INVALID_DEVICE"},
        {INVALID_IMAGE, "CUDA_ERROR_INVALID_IMAGE"}, {INVALID_CONTEXT, "CUDA_ERROR_INVALID_CONTEXT"},
        {INVALID_PTX, "CUDA_ERROR_INVALID_PTX"}, {INVALID_HANDLE, "CUDA_ERROR_INVALID_HANDLE"}, {NOT_FOUND, "CUDA_ERROR_NOT_FOUND"},
        {CONTEXT_IS_DESTROYED, "CUDA_ERROR_CONTEXT_IS_DESTROYED"}, {ILLEGAL_ADDRESS, "CUDA_ERROR_ILLEGAL_ADDRESS"},
        {LAUNCH_OUT_OF_RESOURCES, "CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES"}, {ASSERT, "CUDA_ERROR_ASSERT"},
        {LAUNCH_FAILED, "CUDA_ERROR_LAUNCH_FAILED"}, {NOT_SUPPORTED, "CUDA_ERROR_NOT_SUPPORTED"},
        {STREAM_CAPTURE_UNSUPPORTED, "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED"},
        {STREAM_CAPTURE_INVALIDATED, "CUDA_ERROR_STREAM_CAPTURE_INVALIDATED"},
        {STREAM_CAPTURE_UNMATCHED, "CUDA_ERROR_STREAM_CAPTURE_UNMATCHED"},
        {STREAM_CAPTURE_ISOLATION, "CUDA_ERROR_STREAM_CAPTURE_ISOLATION"}};
    auto at = names.find(status);
    *out = at == names.end() ? "CUDA_ERROR_UNKNOWN" : at->second;
    return SUCCESS;
}
EXPORT Status cuGetErrorString(Status status, const char** out) { return cuGetErrorName(status, out); }

EXPORT Status cuInit(unsigned flags) {
    Lock lock;
    if (flags) return INVALID_VALUE;
    initialized = true;
    return SUCCESS;
}
EXPORT Status cuDriverGetVersion(int* version) { return *version = 12080, SUCCESS; }
EXPORT Status cuDeviceGetCount(int* count) {
    Lock lock;
    *count = state().device_count;
    return initialized ? SUCCESS : NOT_INITIALIZED;
}
EXPORT Status cuDeviceGet(int* device, int ordinal) {
    Lock lock;
    if (!initialized) return NOT_INITIALIZED;
    *device = ordinal;
    return is_device(ordinal) ? SUCCESS : INVALID_DEVICE;
}
EXPORT Status cuDeviceGetName(char* name, int length, int device) {
    Lock lock;
    std::snprintf(name, length, "simulated CUDA device (CPU)");
    return is_device(device) ? SUCCESS : INVALID_DEVICE;
}
EXPORT Status cuDeviceTotalMem_v2(std::size_t* bytes, int device) {
    Lock lock;
    *bytes = state().memory_limit;
    return is_device(device) ? SUCCESS : INVALID_DEVICE;
}
EXPORT Status cuDeviceGetUuid_v2(char* uuid, int device) {
    Lock lock;
    std::memset(uuid, 0, 16);
    uuid[15] = char(device);
    return is_device(device) ? SUCCESS : INVALID_DEVICE;
}
EXPORT Status cuDeviceGetAttribute(int* value, int attribute, int device) {
    Lock lock;
    // Limits of a device of compute capability 9.0; few multiprocessors, so that kernels that loop over the grid do loop.
    static const std::map<int, int> values = {
        {1, 1024}, {2, 1024}, {3, 1024}, {4, 64}, {5, 2147483647}, {6, 65535}, {7, 65535}, {8, 49152}, {9, 65536}, {10, 32},
        {12, 65536}, {13, 1000000}, {16, 4}, {31, 1}, {36, 1000000}, {37, 256}, {38, 1 << 20}, {39, 2048}, {41, 1}, {75, 9},
        {76, 0}, {81, 233472}, {82, 65536}, {97, 232448}, {106, 32}, {115, 1}};
    auto at = values.find(attribute);
    *value = at == values.end() ? 0 : at->second;
    return is_device(device) ? SUCCESS : INVALID_DEVICE;
}
EXPORT Status cuDevicePrimaryCtxRetain(Context** out, int device) {
    Lock lock;
    if (!is_device(device)) return INVALID_DEVICE;
    Context& context = state().contexts[device];
    if (!context.default_stream) {
        context.default_stream = make_stream(device, false);
        context.per_thread_stream = make_stream(device, true);
    }
    context.retained++;
    *out = &context;
    return SUCCESS;
}
// The last release destroys the context: what it held is freed, and a fault is forgotten.
EXPORT Status cuDevicePrimaryCtxRelease_v2(int device) {
    Lock lock;
    if (!is_device(device)) return INVALID_DEVICE;
    Context& context = state().contexts[device];
    if (context.retained == 0) return INVALID_CONTEXT;
    if (--context.retained) return SUCCESS;
    context.sticky = SUCCESS;
    std::vector<Allocation*> left;
    for (auto& [address, allocation] : state().allocations)
        if (allocation.alive && allocation.device == device) left.push_back(&allocation);
    for (Allocation* allocation : left) release(*allocation);
    return SUCCESS;
}
EXPORT Status cuCtxGetCurrent(Context** out) {
    Lock lock;
    *out = current_device() < 0 ? nullptr : &state().contexts[current_device()];
    return initialized ? SUCCESS : NOT_INITIALIZED;
}
EXPORT Status cuCtxSetCurrent(Context* context) {
    Lock lock;
    if (!context) return current_device() = -1, SUCCESS;
    Context* all = state().contexts;
    if (context < all || context >= all + 8 || !context->retained) return INVALID_CONTEXT;
    current_device() = int(context - all);
    return SUCCESS;
}
EXPORT Status cuCtxSetFlags(unsigned) { return SUCCESS; }
EXPORT Status cuCtxSynchronize() {
    WITH_CONTEXT;
    for (Stream* stream : state().streams)
        if (stream->device == device)
            if (Status status = forbid_capture(*stream)) return status;
    state().counters.context_waits++;
    return wait_for_device(device);
}
