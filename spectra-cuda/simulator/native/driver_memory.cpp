// libcuda.so: memory and copies.
#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "driver.hpp"

using namespace sim;

namespace {

std::map<Address, std::size_t> pinned;  // page-locked host memory

bool is_pinned(const void* memory, std::size_t bytes) {
    Address begin = reinterpret_cast<Address>(memory);
    auto next = pinned.upper_bound(begin);
    return next != pinned.begin() && begin + bytes <= std::prev(next)->first + std::prev(next)->second;
}

bool in_device_memory(Address address, std::size_t bytes, int device) {
    const Allocation* a = containing(address, bytes);
    return a && a->device == device;
}

void* pointer(Address address) { return reinterpret_cast<void*>(address); }

Status free_memory(Address address, Stream& stream) {
    Allocation* a = find(address);
    if (!a || !a->alive || address != reinterpret_cast<Address>(a->begin)) {
        violation("free of " + describe(address));
        return INVALID_VALUE;
    }
    // The driver finds the memory's device by its address: a stream of another device is allowed, and orders nothing here.
    if (a->device != stream.device) return release(*a);
    return submit(stream, {"free", {{address, a->size, true}}, [=] { return release(*a); }});
}

}  // namespace

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
    WITH_CONTEXT;
    if (Status status = wait_for_device(device)) return status;
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
    // What has to wait comes from a copy if the memory is pageable: it may be gone by then.
    std::shared_ptr<std::vector<char>> copy;
    if (!stream->queue.empty() && !is_pinned(from, bytes)) {
        copy = std::make_shared<std::vector<char>>(static_cast<const char*>(from), static_cast<const char*>(from) + bytes);
        from = copy->data();
    }
    return enqueue(*stream, {"copy from the host", {{to, bytes, true}}, [=] {
                                 (void)copy;
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
    bool waits = !is_pinned(to, bytes);
    if (waits && !stream->capture)
        if (Status status = wait_until([&] { return stream->queue.empty(); })) return status;
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
