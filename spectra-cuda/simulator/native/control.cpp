// What the Rust side calls.
#include "simulator.hpp"

using namespace sim;

EXPORT void sim_configure(const char* compiler, const char* version, const char* folder) {
    Lock lock;
    state().compiler = compiler;
    state().compiler_version = version;
    state().folder = folder;
}

EXPORT std::size_t sim_counters_size() { return sizeof(Counters); }

EXPORT void sim_counters(Counters* counters) {
    Lock lock;
    *counters = state().counters;
}

EXPORT void sim_each_launch(void (*visit)(void*, const char*, std::uint64_t), void* context) {
    Lock lock;
    for (auto& [name, count] : state().launches) visit(context, name.c_str(), count);
}

EXPORT void sim_each_violation(void (*visit)(void*, const char*), void* context) {
    Lock lock;
    for (auto& [address, allocation] : state().allocations)
        if (allocation.alive) check_canaries(allocation, "at the end");
    for (auto& text : state().violations) visit(context, text.c_str());
}

// What is alive stays counted; what has happened is forgotten, and broken contexts work again.
EXPORT void sim_reset() {
    Lock lock;
    State& s = state();
    Counters old = s.counters;
    s.counters = {};
    s.counters.allocations_alive = old.allocations_alive;
    s.counters.bytes_alive = s.counters.bytes_peak = old.bytes_alive;
    s.counters.streams_alive = old.streams_alive;
    s.counters.events_alive = old.events_alive;
    s.launches.clear();
    s.violations.clear();
    s.until_failure = s.failing_group = 0;
    for (Context& context : s.contexts) context.sticky = SUCCESS;
}

EXPORT void sim_set_memory_limit(std::uint64_t bytes) {
    Lock lock;
    state().memory_limit = bytes;
}

EXPORT void sim_set_reverse(bool reverse) {
    Lock lock;
    state().reverse = reverse;
}

EXPORT void sim_set_race_checks(bool on) {
    Lock lock;
    state().check_races = on;
}

EXPORT void sim_set_device_count(int count) {
    Lock lock;
    state().device_count = count;
}

EXPORT void sim_fail_after(std::uint64_t calls) {
    Lock lock;
    state().until_failure = calls + 1;
}

EXPORT void sim_fail_collectives(int rank, std::uint64_t group, bool is_told) {
    Lock lock;
    state().failing_rank = rank;
    state().failing_group = group + 1;
    state().failure_is_told = is_told;
}
