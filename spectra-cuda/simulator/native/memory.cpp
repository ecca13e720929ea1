// Device memory: each allocation in its own mapping between guard pages, poisoned when made, protected when freed.
#include <sys/mman.h>

#include <cstring>
#include <deque>

#include "simulator.hpp"

namespace sim {
namespace {

constexpr std::size_t PAGE = 4096;
constexpr std::size_t GUARD = 64 * PAGE;     // a stride too far still hits it
constexpr std::size_t ALIGNMENT = 16;        // of the memory's end to the guard page; real CUDA aligns the begin to 256
constexpr std::size_t KEPT_FREED = 8192;     // freed mappings that stay protected
constexpr std::size_t MAX_VIOLATIONS = 100;

std::deque<Address> freed;

std::size_t round_up(std::size_t value, std::size_t unit) { return (value + unit - 1) / unit * unit; }

// Canaries fill the accessible pages around the memory.
char* page_begin(const Allocation& a) { return a.mapping + GUARD; }
char* page_end(const Allocation& a) { return a.mapping + a.mapping_size - GUARD; }

std::uint64_t pattern(std::uint8_t kind) { return 0xFF00FF00FF00FF00u | kind * 0x0001000100010001u; }
unsigned char pattern_at(const char* at, std::uint8_t kind) { return reinterpret_cast<Address>(at) % 2 ? 0xFF : kind; }

// The first byte that is no canary, or `to`.
char* damaged(char* from, char* to) {
    const std::uint64_t word = pattern(POISON_CANARY);
    while (from < to) {
        if (reinterpret_cast<Address>(from) % 8 == 0 && to - from >= 8 && std::memcmp(from, &word, 8) == 0) {
            from += 8;
        } else if (static_cast<unsigned char>(*from) == pattern_at(from, POISON_CANARY)) {
            from++;
        } else {
            return from;
        }
    }
    return to;
}

}  // namespace

State& state() {
    static State* state = new State;  // never destroyed: host objects may outlive static destructors
    return *state;
}

void violation(const std::string& text) {
    auto& violations = state().violations;
    if (violations.size() < MAX_VIOLATIONS) violations.push_back(text);
}

Status fault(int device, Status status, const std::string& text) {
    violation(text);
    state().contexts[device].sticky = status;
    return status;
}

// Two-byte pattern 0xFFkk: NaN as bf16, f16, f32 and f64, and a huge or negative integer.
void poison(void* begin, std::size_t bytes, std::uint8_t kind) {
    char *at = static_cast<char*>(begin), *end = at + bytes;
    const std::uint64_t word = pattern(kind);
    for (; at < end && reinterpret_cast<Address>(at) % 8; at++) *at = char(pattern_at(at, kind));
    for (; end - at >= 8; at += 8) std::memcpy(at, &word, 8);
    for (; at < end; at++) *at = char(pattern_at(at, kind));
}

Status allocate(int device, std::size_t bytes, Address* address) {
    State& s = state();
    if (bytes == 0) return INVALID_VALUE;
    if (bytes > s.memory_limit || s.counters.bytes_alive > s.memory_limit - bytes) return OUT_OF_MEMORY;
    std::size_t usable = round_up(round_up(bytes, ALIGNMENT), PAGE), total = usable + 2 * GUARD;
    void* mapping = mmap(nullptr, total, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (mapping == MAP_FAILED) return OUT_OF_MEMORY;
    char* base = static_cast<char*>(mapping);
    if (mprotect(base + GUARD, usable, PROT_READ | PROT_WRITE) != 0) {
        munmap(mapping, total);
        return OUT_OF_MEMORY;
    }
    Allocation a{base, total, base + GUARD + usable - round_up(bytes, ALIGNMENT), bytes, device, true};
    poison(page_begin(a), a.begin - page_begin(a), POISON_CANARY);
    poison(a.begin, bytes, POISON_FRESH);
    poison(a.begin + bytes, page_end(a) - a.begin - bytes, POISON_CANARY);
    *address = reinterpret_cast<Address>(a.begin);
    s.allocations.emplace(reinterpret_cast<Address>(mapping), a);
    Counters& c = s.counters;
    c.allocations_alive++, c.allocations_total++;
    c.bytes_alive += bytes, c.bytes_total += bytes;
    if (c.bytes_alive > c.bytes_peak) c.bytes_peak = c.bytes_alive;
    return SUCCESS;
}

Status release(Allocation& a) {
    State& s = state();
    check_canaries(a, "until it was freed");
    a.alive = false;
    races::forget(reinterpret_cast<Address>(a.begin));
    s.counters.allocations_alive--;
    s.counters.bytes_alive -= a.size;
    // A fresh mapping over the old one gives the pages back and keeps the addresses unused.
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED;
    if (mmap(a.mapping, a.mapping_size, PROT_NONE, flags, -1, 0) == MAP_FAILED) return OUT_OF_MEMORY;
    freed.push_back(reinterpret_cast<Address>(a.mapping));
    if (freed.size() > KEPT_FREED) {
        auto oldest = s.allocations.find(freed.front());
        munmap(oldest->second.mapping, oldest->second.mapping_size);
        s.allocations.erase(oldest);
        freed.pop_front();
    }
    return SUCCESS;
}

Allocation* find(Address address) {
    auto& all = state().allocations;
    auto next = all.upper_bound(address);
    if (next == all.begin()) return nullptr;
    Allocation& a = std::prev(next)->second;
    return address < reinterpret_cast<Address>(a.mapping) + a.mapping_size ? &a : nullptr;
}

Allocation* containing(Address address, std::size_t bytes) {
    Allocation* a = find(address);
    if (!a || !a->alive) return nullptr;
    Address begin = reinterpret_cast<Address>(a->begin);
    if (address < begin || address - begin > a->size || bytes > a->size - (address - begin)) return nullptr;
    return a;
}

std::string describe(Address address) {
    const Allocation* a = find(address);
    if (!a) return "no device memory";
    Address begin = reinterpret_cast<Address>(a->begin), end = begin + a->size;
    std::string owner = std::string(a->alive ? "an allocation" : "a freed allocation") + " of " + std::to_string(a->size) + " bytes";
    if (address < begin) return std::to_string(begin - address) + " bytes before " + owner;
    if (address >= end) return std::to_string(address - end) + " bytes past the end of " + owner;
    return "byte " + std::to_string(address - begin) + " of " + owner;
}

void check_canaries(Allocation& a, const std::string& after) {
    auto check = [&](char* from, char* to) {
        char* at = damaged(from, to);
        if (at == to) return;
        violation("out-of-bounds write " + describe(reinterpret_cast<Address>(at)) + ", found " + after);
        poison(from, to - from, POISON_CANARY);
    };
    check(page_begin(a), a.begin);
    check(a.begin + a.size, page_end(a));
}

}  // namespace sim
