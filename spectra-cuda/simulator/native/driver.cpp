// libcuda.so: devices, contexts, memory, modules, launches, streams, events.
#include <dlfcn.h>
#include <sys/mman.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "simulator.hpp"

using namespace sim;

namespace {

struct Module;
struct Function {
    Module* module;
    std::string name;
    const SimKernel* kernel;
    int max_dynamic_shared = 48 << 10;
};
struct Module {
    void* library;
    int device;
    SimModule code;
    std::map<std::string, Function> functions;
};
struct Event {
    int device;
    bool timing, recorded = false;
    double time = 0;
    Clock clock;
    std::shared_ptr<Graph> capture;
};

std::set<Module*> modules;
std::set<Event*> events;
std::map<Address, std::size_t> pinned;  // page-locked host memory
bool initialized = false;

double milliseconds() {
    return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

bool is_device(int device) { return device >= 0 && device < state().device_count; }

// The bound context's state, or why there is none to work with.
Status entry(int& device) {
    if (!initialized) return NOT_INITIALIZED;
    device = current_device();
    if (device < 0) return INVALID_CONTEXT;
    const Context& context = state().contexts[device];
    return context.retained ? context.sticky : CONTEXT_IS_DESTROYED;
}

#define WITH_CONTEXT \
    Lock lock;       \
    int device = -1; \
    if (Status status = entry(device)) return status
#define WITH_STREAM(handle)                      \
    WITH_CONTEXT;                                \
    Stream* stream = stream_of(handle, device);  \
    if (!stream) return INVALID_HANDLE

// What may not happen while a stream is captured; it ends the capture.
Status forbid_capture(Stream& stream) {
    if (!stream.capture) return SUCCESS;
    stream.capture_error = STREAM_CAPTURE_INVALIDATED;
    return STREAM_CAPTURE_UNSUPPORTED;
}

bool in_device_memory(Address address, std::size_t bytes, int device) {
    const Allocation* a = containing(address, bytes);
    return a && a->device == device;
}

void* pointer(Address address) { return reinterpret_cast<void*>(address); }

Status free_memory(Address address, Stream& stream) {
    Allocation* a = find(address);
    if (!a || !a->alive || address != reinterpret_cast<Address>(a->begin) || a->device != stream.device) {
        violation("free of " + describe(address));
        return INVALID_VALUE;
    }
    if (Status status = execute(stream, {"free", {{address, a->size, true}}, [] { return SUCCESS; }})) return status;
    return release(*a);
}

}  // namespace

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

// Devices and contexts.

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
        if (stream->device == device) {
            if (Status status = forbid_capture(*stream)) return status;
            merge(state().host, stream->clock);
        }
    state().counters.context_waits++;
    return SUCCESS;
}

// Memory.

EXPORT Status cuMemGetInfo_v2(std::size_t* free, std::size_t* total) {
    WITH_CONTEXT;
    *total = state().memory_limit;
    *free = *total - std::min<std::size_t>(*total, state().counters.bytes_alive);
    return SUCCESS;
}
EXPORT Status cuMemAllocAsync(Address* address, std::size_t bytes, void* handle) {
    WITH_STREAM(handle);
    if (Status status = forbid_capture(*stream)) return status;
    if (Status status = allocate(device, bytes, address)) return status;
    return execute(*stream, {"allocation", {{*address, bytes, true}}, [] { return SUCCESS; }});
}
EXPORT Status cuMemFreeAsync(Address address, void* handle) {
    WITH_STREAM(handle);
    if (Status status = forbid_capture(*stream)) return status;
    return free_memory(address, *stream);
}
EXPORT Status cuMemAlloc_v2(Address* address, std::size_t bytes) {
    WITH_CONTEXT;
    return allocate(device, bytes, address);
}
EXPORT Status cuMemFree_v2(Address address) {
    WITH_CONTEXT;  // waits for the device
    for (Stream* stream : state().streams)
        if (stream->device == device) merge(state().host, stream->clock);
    return free_memory(address, *state().contexts[device].default_stream);
}
EXPORT Status cuMemHostAlloc(void** out, std::size_t bytes, unsigned) {
    WITH_CONTEXT;
    if (bytes == 0) return INVALID_VALUE;
    *out = std::aligned_alloc(4096, (bytes + 4095) / 4096 * 4096);
    if (!*out) return OUT_OF_MEMORY;
    poison(*out, bytes, POISON_FRESH);
    pinned[reinterpret_cast<Address>(*out)] = bytes;
    return SUCCESS;
}
EXPORT Status cuMemFreeHost(void* memory) {
    Lock lock;
    if (!pinned.erase(reinterpret_cast<Address>(memory))) return INVALID_VALUE;
    std::free(memory);
    return SUCCESS;
}
EXPORT Status cuMemsetD8Async(Address address, unsigned char value, std::size_t bytes, void* handle) {
    WITH_STREAM(handle);
    if (!in_device_memory(address, bytes, device)) return INVALID_VALUE;
    return enqueue(*stream, {"memset", {{address, bytes, true}}, [=] {
                                 std::memset(pointer(address), value, bytes);
                                 state().counters.memsets++;
                                 return SUCCESS;
                             }});
}
EXPORT Status cuMemsetD32Async(Address address, unsigned value, std::size_t count, void* handle) {
    WITH_STREAM(handle);
    if (address % 4 || !in_device_memory(address, count * 4, device)) return INVALID_VALUE;
    return enqueue(*stream, {"memset", {{address, count * 4, true}}, [=] {
                                 std::fill_n(static_cast<unsigned*>(pointer(address)), count, value);
                                 state().counters.memsets++;
                                 return SUCCESS;
                             }});
}
EXPORT Status cuMemsetD8_v2(Address address, unsigned char value, std::size_t bytes) { return cuMemsetD8Async(address, value, bytes, nullptr); }
EXPORT Status cuMemcpyHtoDAsync_v2(Address to, const void* from, std::size_t bytes, void* handle) {
    WITH_STREAM(handle);
    if ((!from && bytes) || !in_device_memory(to, bytes, device)) return INVALID_VALUE;
    return enqueue(*stream, {"copy from the host", {{to, bytes, true}}, [=] {
                                 std::memcpy(pointer(to), from, bytes);
                                 state().counters.host_to_device_copies++;
                                 state().counters.host_to_device_bytes += bytes;
                                 return SUCCESS;
                             }});
}
// Into pageable memory the call returns when the copy is done: the host has waited for the stream.
EXPORT Status cuMemcpyDtoHAsync_v2(void* to, Address from, std::size_t bytes, void* handle) {
    WITH_STREAM(handle);
    if ((!to && bytes) || !in_device_memory(from, bytes, device)) return INVALID_VALUE;
    Address begin = reinterpret_cast<Address>(to);
    auto next = pinned.upper_bound(begin);
    bool waits = next == pinned.begin() || begin + bytes > std::prev(next)->first + std::prev(next)->second;
    return enqueue(*stream, {"copy to the host", {{from, bytes, false}}, [=] {
                                 std::memcpy(to, pointer(from), bytes);
                                 state().counters.device_to_host_copies++;
                                 state().counters.device_to_host_bytes += bytes;
                                 if (waits) state().counters.copy_waits++, merge(state().host, stream->clock);
                                 return SUCCESS;
                             }});
}
EXPORT Status cuMemcpyDtoDAsync_v2(Address to, Address from, std::size_t bytes, void* handle) {
    WITH_STREAM(handle);
    if (!in_device_memory(to, bytes, device) || !in_device_memory(from, bytes, device)) return INVALID_VALUE;
    if (from < to + bytes && to < from + bytes && bytes) violation("copy on the device between ranges that overlap");
    return enqueue(*stream, {"copy on the device", {{to, bytes, true}, {from, bytes, false}}, [=] {
                                 std::memmove(pointer(to), pointer(from), bytes);
                                 state().counters.device_to_device_copies++;
                                 state().counters.device_to_device_bytes += bytes;
                                 return SUCCESS;
                             }});
}
EXPORT Status cuMemcpyHtoD_v2(Address to, const void* from, std::size_t bytes) { return cuMemcpyHtoDAsync_v2(to, from, bytes, nullptr); }
EXPORT Status cuMemcpyDtoH_v2(void* to, Address from, std::size_t bytes) { return cuMemcpyDtoHAsync_v2(to, from, bytes, nullptr); }
EXPORT Status cuMemcpyDtoD_v2(Address to, Address from, std::size_t bytes) { return cuMemcpyDtoDAsync_v2(to, from, bytes, nullptr); }

// Modules and launches.

EXPORT Status cuModuleLoadData(Module** out, const void* image) {
    WITH_CONTEXT;
    const std::string text = static_cast<const char*>(image), mark = "//object:";
    auto begin = text.find(mark);
    if (begin == std::string::npos) return INVALID_PTX;
    begin += mark.size();
    void* library = dlopen(text.substr(begin, text.find('\n', begin) - begin).c_str(), RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        violation(std::string("module does not load: ") + dlerror());
        return INVALID_IMAGE;
    }
    auto code = reinterpret_cast<SimModule (*)()>(dlsym(library, "sim_module"));
    *out = new Module{library, device, code(), {}};
    modules.insert(*out);
    return SUCCESS;
}
EXPORT Status cuModuleLoad(Module** out, const char* path) {
    const std::string text = read_file(path);
    return text.empty() ? Status(301) : cuModuleLoadData(out, text.c_str());
}
EXPORT Status cuModuleUnload(Module* module) {
    WITH_CONTEXT;
    if (!modules.erase(module)) return INVALID_HANDLE;
    dlclose(module->library);
    delete module;
    return SUCCESS;
}
EXPORT Status cuModuleGetFunction(Function** out, Module* module, const char* name) {
    WITH_CONTEXT;
    if (!modules.count(module)) return INVALID_HANDLE;
    auto kernel = static_cast<const SimKernel*>(dlsym(module->library, (std::string("sim_kernel_") + name).c_str()));
    if (!kernel) return NOT_FOUND;
    *out = &module->functions.try_emplace(name, Function{module, name, kernel}).first->second;
    return SUCCESS;
}

static bool is_function(const Function* function) {
    for (const Module* module : modules)
        for (auto& [name, candidate] : module->functions)
            if (&candidate == function) return true;
    return false;
}

EXPORT Status cuFuncGetAttribute(int* value, int attribute, Function* function) {
    WITH_CONTEXT;
    if (!is_function(function)) return INVALID_HANDLE;
    const SimModule& code = function->module->code;
    const std::map<int, int> values = {{0, function->kernel->max_threads ? int(function->kernel->max_threads) : 1024},
                                       {1, int(code.shared_end - code.shared_begin)}, {4, 32}, {5, 90}, {6, 90},
                                       {8, function->max_dynamic_shared}};
    auto at = values.find(attribute);
    *value = at == values.end() ? 0 : at->second;
    return SUCCESS;
}
EXPORT Status cuFuncSetAttribute(Function* function, int attribute, int value) {
    WITH_CONTEXT;
    if (!is_function(function)) return INVALID_HANDLE;
    if (attribute != 8 && attribute != 9) return INVALID_VALUE;
    if (attribute == 8 && (value < 0 || value > 232448)) return INVALID_VALUE;
    if (attribute == 8) function->max_dynamic_shared = value;
    return SUCCESS;
}
EXPORT Status cuOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, Function* function, int threads, std::size_t) {
    WITH_CONTEXT;
    if (!is_function(function) || threads <= 0) return INVALID_VALUE;
    *blocks = std::min(32, 2048 / threads);
    return SUCCESS;
}

EXPORT Status cuLaunchKernel(Function* function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz,
                             unsigned shared, void* handle, void** parameters, void** extra) {
    WITH_STREAM(handle);
    if (!is_function(function) || function->module->device != device) return INVALID_HANDLE;
    if (extra) return NOT_SUPPORTED;
    std::uint64_t threads = std::uint64_t(bx) * by * bz;
    if (!gx || !gy || !gz || gx > 2147483647u || gy > 65535 || gz > 65535 || threads == 0 || threads > 1024 || bz > 64) return INVALID_VALUE;
    if (shared > unsigned(function->max_dynamic_shared)) return INVALID_VALUE;
    const SimKernel& kernel = *function->kernel;
    if (kernel.max_threads && threads > kernel.max_threads) return LAUNCH_OUT_OF_RESOURCES;
    if (kernel.parameter_count && !parameters) return INVALID_VALUE;

    auto launch = std::make_shared<Launch>(Launch{function->name, device, &kernel, function->module->code, {gx, gy, gz}, {bx, by, bz}, shared, {}});
    Operation operation{"kernel `" + function->name + "`", {}, nullptr};
    for (unsigned i = 0; i < kernel.parameter_count; i++) {
        const SimParameter& parameter = kernel.parameters[i];
        const char* value = static_cast<const char*>(parameters[i]);
        launch->arguments.emplace_back(value, value + parameter.size);
        Address address;
        if (parameter.kind == SIM_VALUE) {
            // A structure may hold pointers; a word that is one is taken for it, and for a read at least.
            for (unsigned at = 0; at + sizeof address <= parameter.size; at += sizeof address) {
                std::memcpy(&address, value + at, sizeof address);
                if (containing(address, 1)) operation.accesses.push_back({address, 1, false});
            }
            continue;
        }
        std::memcpy(&address, value, sizeof address);
        if (!address) continue;  // null: a fault if it is used
        // What lies behind a pointer's allocation cannot be reached on real hardware either way; here it may be host memory.
        const Allocation* a = containing(address, 0);
        if (!a || a->device != device) {
            fault(device, ILLEGAL_ADDRESS, operation.name + ": argument " + std::to_string(i + 1) + " points to " +
                                               (a ? "memory of another device" : describe(address)));
            return SUCCESS;  // as on real hardware the next call reports it
        }
        std::size_t rest = reinterpret_cast<Address>(a->begin) + a->size - address;
        if (rest) operation.accesses.push_back({address, rest, parameter.kind == SIM_POINTER});
    }
    operation.run = [launch] {
        state().counters.launches++;
        state().launches[launch->name]++;
        return run_kernel(*launch);
    };
    enqueue(*stream, std::move(operation));  // a fault is sticky; the next call reports it
    return SUCCESS;
}

// Streams and events.

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
    delete stream;
    return SUCCESS;
}
EXPORT Status cuStreamSynchronize(void* handle) {
    WITH_STREAM(handle);
    if (Status status = forbid_capture(*stream)) return status;
    merge(state().host, stream->clock);
    state().counters.stream_waits++;
    return SUCCESS;
}
EXPORT Status cuStreamQuery(void* handle) {
    WITH_STREAM(handle);
    return forbid_capture(*stream);
}
EXPORT Status cuStreamWaitEvent(void* handle, Event* event, unsigned) {
    WITH_STREAM(handle);
    if (!events.count(event)) return INVALID_HANDLE;
    if (!event->recorded) return SUCCESS;
    if (event->capture) {
        if (stream->capture && stream->capture != event->capture) return STREAM_CAPTURE_ISOLATION;
        stream->capture = event->capture;  // joins the capture
        return SUCCESS;
    }
    if (stream->capture) return STREAM_CAPTURE_ISOLATION;
    merge(stream->clock, event->clock);
    return SUCCESS;
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
    event->recorded = true;
    event->capture = stream->capture;
    event->time = milliseconds();
    execute(*stream, {"event", {}, [] { return SUCCESS; }});
    event->clock = stream->clock;
    return SUCCESS;
}
EXPORT Status cuEventQuery(Event* event) {
    WITH_CONTEXT;
    if (!events.count(event)) return INVALID_HANDLE;
    return event->capture ? STREAM_CAPTURE_UNSUPPORTED : SUCCESS;
}
EXPORT Status cuEventSynchronize(Event* event) {
    WITH_CONTEXT;
    if (!events.count(event)) return INVALID_HANDLE;
    if (event->capture) return STREAM_CAPTURE_UNSUPPORTED;
    merge(state().host, event->clock);
    state().counters.event_waits++;
    return SUCCESS;
}
EXPORT Status cuEventElapsedTime(float* elapsed, Event* start, Event* end) {
    WITH_CONTEXT;
    if (!events.count(start) || !events.count(end) || !start->recorded || !end->recorded || !start->timing || !end->timing) return INVALID_HANDLE;
    *elapsed = float(end->time - start->time);
    return SUCCESS;
}
EXPORT Status cuEventElapsedTime_v2(float* elapsed, Event* start, Event* end) { return cuEventElapsedTime(elapsed, start, end); }
