// Data races of kernels that are compiled with -fsanitize=thread: this is the runtime that such code calls before each access
// to memory. Of each two bytes it keeps the last write and the last reads by two threads; two accesses, one a write and
// not both atomic, must be ordered:
//   in a block by a barrier, in a warp by __syncwarp() of all its lanes;
//   between blocks by an atomic operation of both on one place, before it a __threadfence() in the earlier block.
// Launches are ordered by their streams, which stream.cpp checks.
#include <algorithm>
#include <unordered_map>

#include "execution.hpp"

using namespace sim;

namespace {

struct Stamp {
    std::uint32_t block = 0;  // serial number over all launches
    std::uint16_t phase = 0, warp_phase = 0, thread = 0;
    bool atomic = false;
};
struct Cell {
    Stamp writer, readers[2];
};
struct Region {
    Address begin = 0, end = 0;
    bool shared = false;  // each block has its own
    std::vector<Cell> cells;
};
struct Release {
    std::uint16_t phase, thread;
};
using Place = std::unordered_map<std::uint32_t, Release>;  // the blocks that released at an atomic's place

const Launch* launch = nullptr;
std::uint32_t first_block = 1, block = 0;
std::uint16_t phase = 0, warp_phases[32];
bool fenced = false, found = false;
std::map<Address, Region> regions;  // of allocations, by their begin
Region fixed, dynamic;              // shared memory
Region* last = nullptr;
std::map<Address, Place> places;
std::vector<const Place*> acquired;

const SimHere& here() { return *launch->module.here; }

Region* region_of(Address address) {
    if (last && address >= last->begin && address < last->end) return last;
    for (Region* shared : {&fixed, &dynamic})
        if (address >= shared->begin && address < shared->end) return last = shared;
    const Allocation* a = containing(address, 1);
    if (!a) return nullptr;  // local memory, parameters, or a fault in a moment
    Region& region = regions[reinterpret_cast<Address>(a->begin)];
    region.begin = reinterpret_cast<Address>(a->begin), region.end = region.begin + a->size;
    return last = &region;
}

// Whether `before` has happened when the running thread goes on.
bool ordered(const Stamp& before, const Stamp& now, bool shared) {
    if (before.block < first_block || (shared && before.block != block)) return true;
    if (before.block == block)
        return before.thread == now.thread || before.phase != now.phase ||
               (before.thread / 32 == now.thread / 32 && before.warp_phase != now.warp_phase);
    for (const Place* place : acquired) {
        auto at = place->find(before.block);
        if (at != place->end() && (before.phase < at->second.phase || (before.phase == at->second.phase && before.thread == at->second.thread)))
            return true;
    }
    return false;
}

void check(const Stamp& before, const Stamp& now, const Region& region, const char* was, const char* is, Address address, const void* code) {
    if (found || (before.atomic && now.atomic) || ordered(before, now, region.shared)) return;
    found = true;  // one a launch: the others follow from it
    auto text = [](const SimVec3& v) { return "(" + std::to_string(v.x) + "," + std::to_string(v.y) + "," + std::to_string(v.z) + ")"; };
    std::string other = before.block == block ? "thread number " + std::to_string(before.thread) + " of the block" : "another block";
    violation("data race: kernel `" + launch->name + "`" + source_line(reinterpret_cast<Address>(code) - 1) + ", block " + text(here().block) +
              ", thread " + text(here().thread) + " " + is + " " + (region.shared ? "shared memory" : describe(address)) + ", which " + other +
              " has " + was + " with nothing to order them");
}

void access(Address address, std::size_t bytes, bool write, bool atomic, const void* code) {
    if (!launch || bytes < 2) return;  // single bytes would need a finer grid
    Region* region = region_of(address);
    if (!region) return;
    if (region->cells.empty()) region->cells.resize((region->end - region->begin + 1) / 2);
    const Stamp now{block, phase, warp_phases[here().linear / 32], std::uint16_t(here().linear), atomic};
    std::size_t begin = (address - region->begin) / 2, end = std::min((address + bytes - region->begin + 1) / 2, region->cells.size());
    for (std::size_t i = begin; i < end; i++) {
        Cell& cell = region->cells[i];
        Address at = region->begin + 2 * i;
        check(cell.writer, now, *region, "written", write ? "writes" : "reads", at, code);
        if (write) {
            for (const Stamp& reader : cell.readers) check(reader, now, *region, "read", "writes", at, code);
            cell.writer = now;
        } else {
            auto same = [&](const Stamp& s) { return s.block == now.block && s.thread == now.thread; };
            if (!same(cell.readers[0])) cell.readers[1] = cell.readers[0];
            cell.readers[0] = now;
        }
    }
}

}  // namespace

void races::begin_launch(const Launch& started) {
    launch = started.checks_races ? &started : nullptr;
    if (!launch) return;
    first_block = block + 1;
    found = false;
    const SimModule& module = started.module;
    auto cover = [](Region& region, const char* begin, std::size_t bytes) {
        region = {reinterpret_cast<Address>(begin), reinterpret_cast<Address>(begin) + bytes, true, {}};
    };
    cover(fixed, module.shared_begin, module.shared_end - module.shared_begin);
    cover(dynamic, module.here->dynamic_shared, started.dynamic_shared);
    last = nullptr;
    places.clear();
}

void races::begin_block() {
    block++;
    phase = 0;
    std::fill(std::begin(warp_phases), std::end(warp_phases), 0);
    fenced = false;
    acquired.clear();
}

void races::pass_barrier() { phase++; }
void races::pass_warp(unsigned warp) { warp_phases[warp]++; }

void races::forget(Address begin) {
    regions.erase(begin);
    last = nullptr;
}

EXPORT void sim_fence() { fenced = true; }

EXPORT void sim_atomic(void* at, unsigned bytes) {
    if (!launch) return;
    Place& place = places[reinterpret_cast<Address>(at)];
    if (std::find(acquired.begin(), acquired.end(), &place) == acquired.end()) acquired.push_back(&place);
    access(reinterpret_cast<Address>(at), bytes, true, true, __builtin_return_address(0));
    if (fenced) place[block] = {phase, std::uint16_t(here().linear)};
}

// What the compiler calls.
#define ACCESS(name, bytes, write) \
    EXPORT void name(void* at) { access(reinterpret_cast<Address>(at), bytes, write, false, __builtin_return_address(0)); }
#define ACCESSES(bytes)                                    \
    ACCESS(__tsan_read##bytes, bytes, false)               \
    ACCESS(__tsan_write##bytes, bytes, true)               \
    ACCESS(__tsan_unaligned_read##bytes, bytes, false)     \
    ACCESS(__tsan_unaligned_write##bytes, bytes, true)
ACCESSES(1)
ACCESSES(2)
ACCESSES(4)
ACCESSES(8)
ACCESSES(16)
EXPORT void __tsan_read_range(void* at, unsigned long bytes) {
    access(reinterpret_cast<Address>(at), bytes, false, false, __builtin_return_address(0));
}
EXPORT void __tsan_write_range(void* at, unsigned long bytes) {
    access(reinterpret_cast<Address>(at), bytes, true, false, __builtin_return_address(0));
}
EXPORT void __tsan_init() {}
