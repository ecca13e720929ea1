// Runs the blocks of a launch one after the other, and the threads of a block one at a time. A thread that must wait for
// others (barrier, warp operation) keeps its stack; the scheduler goes on with the next thread on another one.
#include <sys/mman.h>

#include <algorithm>
#include <cstring>

#include "execution.hpp"

#ifndef __x86_64__
#error "the stack switch is written for x86-64"
#endif

// Saves the callee-saved registers and the stack pointer, continues on the other stack.
extern "C" void sim_switch(void** save, void* load);
asm(R"(
.text
.type sim_switch,@function
sim_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
.size sim_switch, .-sim_switch
)");

namespace sim {
namespace {

constexpr std::size_t STACK = 128 << 10, STACK_GUARD = 4096;
constexpr unsigned MAX_THREADS = 1024;
constexpr std::size_t MAX_SHARED = 228 << 10;  // whole pages

struct Fiber {
    char* stack;
    void* pointer;
    bool finished;
};

// A thread that waits.
struct Waiting {
    Fiber* fiber = nullptr;
    SimVec3 index{};
    int line = 0;
    SimWarp operation{};
    unsigned mask = 0;
    unsigned long long value = 0, result = 0;
    int source = 0;
};

const Launch* launch = nullptr;
void** arguments = nullptr;
std::vector<Fiber> fibers;
std::vector<Fiber*> free_fibers;
Fiber* running = nullptr;
void* scheduler = nullptr;
std::vector<Waiting> threads;
std::vector<unsigned> at_barrier;
std::vector<unsigned> at_warp;  // for each warp, the lanes that wait at a warp operation
unsigned lanes_waiting = 0;     // their number in all warps
unsigned barrier_sum = 0, barrier_result = 0;
std::vector<unsigned> ready;  // to go on, from number `next_ready`
std::size_t next_ready = 0;
char* shared_mapping = nullptr;

std::string text(const SimVec3& v) {
    return "(" + std::to_string(v.x) + "," + std::to_string(v.y) + "," + std::to_string(v.z) + ")";
}

SimHere& here() { return *launch->module.here; }

void fiber_main() {
    for (;;) {
        launch->kernel->run(arguments);
        running->finished = true;
        sim_switch(&running->pointer, scheduler);
    }
}

// Six zero registers, then the address that sim_switch returns to; 16-byte aligned there as after a call.
void prepare(Fiber& fiber) {
    void** top = reinterpret_cast<void**>(fiber.stack + STACK_GUARD + STACK) - 2;
    top[0] = reinterpret_cast<void*>(fiber_main);
    top[1] = nullptr;
    std::memset(top - 6, 0, 6 * sizeof(void*));
    fiber.pointer = top - 6;
}

// All stacks at their beginning: at first, and after a kernel that was broken off.
void forget_threads() {
    free_fibers.clear();
    for (auto& fiber : fibers) {
        prepare(fiber);
        free_fibers.push_back(&fiber);
    }
    ready.clear();
    next_ready = 0;
    at_barrier.clear();
    std::fill(at_warp.begin(), at_warp.end(), 0);
    barrier_sum = lanes_waiting = 0;
}

bool make_stacks() {
    if (!fibers.empty()) return true;
    const std::size_t each = STACK + STACK_GUARD;
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    void* stacks = mmap(nullptr, each * MAX_THREADS, PROT_READ | PROT_WRITE, flags, -1, 0);
    void* shared = mmap(nullptr, MAX_SHARED + 4096, PROT_READ | PROT_WRITE, flags, -1, 0);
    if (stacks == MAP_FAILED || shared == MAP_FAILED) return false;
    shared_mapping = static_cast<char*>(shared);
    if (mprotect(shared_mapping + MAX_SHARED, 4096, PROT_NONE) != 0) return false;
    fibers.resize(MAX_THREADS);
    threads.resize(MAX_THREADS);
    at_warp.resize(MAX_THREADS / 32);
    for (unsigned i = 0; i < MAX_THREADS; i++) {
        fibers[i].stack = static_cast<char*>(stacks) + i * each;
        if (mprotect(fibers[i].stack, STACK_GUARD, PROT_NONE) != 0) return false;
    }
    forget_threads();
    return true;
}

void start(Fiber* fiber) {
    running = fiber;
    fiber->finished = false;
    sim_switch(&scheduler, fiber->pointer);
    if (fiber->finished) free_fibers.push_back(fiber);
}

// Leaves the running thread until the scheduler takes it from `ready`.
void wait() {
    unsigned thread = here().linear;
    threads[thread].fiber = running;
    threads[thread].index = here().thread;
    sim_switch(&running->pointer, scheduler);
}

// Nobody can run: either all threads stand at the same barrier, or never will.
bool pass_barrier() {
    const std::string kernel = "kernel `" + launch->name + "`, block " + text(here().block) + ": ";
    auto line = [](unsigned t) { return std::to_string(threads[t].line); };
    const unsigned count = here().count;
    for (unsigned t = 0; lanes_waiting && t < count; t++)
        if (at_warp[t / 32] >> t % 32 & 1)
            return report(LAUNCH_FAILED, kernel + "thread " + text(threads[t].index) + " waits at the warp operation in line " + line(t) +
                                             " for lanes that never reach it");
    const unsigned first = at_barrier.front();
    if (at_barrier.size() < count)
        return report(LAUNCH_FAILED, kernel + "divergent __syncthreads() in line " + line(first) + ": " + std::to_string(at_barrier.size()) +
                                         " of " + std::to_string(count) + " threads reach it, the others have ended");
    for (unsigned t : at_barrier)
        if (threads[t].line != threads[first].line)
            return report(LAUNCH_FAILED, kernel + "divergent __syncthreads(): thread " + text(threads[first].index) + " waits in line " +
                                             line(first) + ", thread " + text(threads[t].index) + " in line " + line(t));
    ready.swap(at_barrier);
    next_ready = 0;
    at_barrier.clear();
    barrier_result = barrier_sum;
    barrier_sum = 0;
    races::pass_barrier();
    return true;
}

bool run_block() {
    SimHere& h = here();
    const SimModule& module = launch->module;
    if (module.shared_end > module.shared_begin) poison(module.shared_begin, module.shared_end - module.shared_begin, POISON_SHARED);
    if (launch->dynamic_shared) poison(h.dynamic_shared, launch->dynamic_shared, POISON_SHARED);
    races::begin_block();
    h.next = 0;
    for (;;) {
        if (h.next < h.count) {
            h.resumed = false;
            Fiber* fiber = free_fibers.back();
            free_fibers.pop_back();
            start(fiber);
        } else if (next_ready < ready.size()) {
            unsigned t = ready[next_ready++];
            h.resumed = true;
            h.linear = t;
            h.thread = threads[t].index;
            start(threads[t].fiber);
        } else if (at_barrier.empty() && lanes_waiting == 0) {
            ready.clear();
            next_ready = 0;
            return true;
        } else if (!pass_barrier()) {
            return false;
        }
    }
}

bool run_blocks() {
    SimHere& h = here();
    const SimVec3 grid = h.grid_dim;
    const std::uint64_t count = std::uint64_t(grid.x) * grid.y * grid.z;
    for (std::uint64_t i = 0; i < count; i++) {
        std::uint64_t block = h.reverse ? count - 1 - i : i;
        h.block = {unsigned(block % grid.x), unsigned(block / grid.x % grid.y), unsigned(block / grid.x / grid.y)};
        if (!run_block()) return false;
    }
    return true;
}

}  // namespace

Status run_kernel(const Launch& kernel) {
    if (!make_stacks()) return fault(kernel.device, OUT_OF_MEMORY, "no memory for the threads' stacks");
    std::vector<void*> pointers;
    for (auto& argument : kernel.arguments) pointers.push_back(const_cast<char*>(argument.data()));
    launch = &kernel;
    arguments = pointers.data();
    SimHere& h = here();
    h.block_dim = kernel.block;
    h.grid_dim = kernel.grid;
    h.count = kernel.block.x * kernel.block.y * kernel.block.z;
    h.reverse = state().reverse;
    h.dynamic_shared = shared_mapping + MAX_SHARED - (kernel.dynamic_shared + 15) / 16 * 16;
    races::begin_launch(kernel);
    if (run_guarded(run_blocks)) return SUCCESS;
    Address stack_guard = reinterpret_cast<Address>(running->stack), shared_end = reinterpret_cast<Address>(shared_mapping) + MAX_SHARED;
    Fault found = explain(kernel.device, stack_guard, shared_end);
    if (found.code)
        found.text = "kernel `" + kernel.name + "`" + source_line(found.code) + ", block " + text(h.block) + ", thread " + text(h.thread) + ": " + found.text;
    forget_threads();
    return fault(kernel.device, found.status, found.text);
}

}  // namespace sim

using namespace sim;

EXPORT unsigned sim_barrier(int line, unsigned value) {
    unsigned thread = here().linear;
    threads[thread].line = line;
    at_barrier.push_back(thread);
    barrier_sum += value;
    wait();
    return barrier_result;
}

EXPORT unsigned long long sim_warp(int line, SimWarp operation, unsigned mask, unsigned long long value, int source) {
    unsigned thread = here().linear, lane = thread % 32, first = thread - lane;
    unsigned lanes = here().count - first >= 32 ? ~0u : (1u << (here().count - first)) - 1;
    const void* caller = __builtin_return_address(0);
    if (!(mask >> lane & 1)) break_off(LAUNCH_FAILED, "a warp operation whose mask leaves out the thread itself", caller);
    unsigned members = mask & lanes;
    Waiting& self = threads[thread];
    self.line = line, self.operation = operation, self.mask = mask, self.value = value, self.source = source;
    unsigned& waiting = at_warp[thread / 32];
    waiting |= 1u << lane;
    if ((waiting & members) != members) {
        lanes_waiting++;
        wait();
        return threads[thread].result;
    }
    // The last of the group: compute everyone's result and go on.
    unsigned ballot = 0;
    for (unsigned l = 0; l < 32; l++) {
        if (!(members >> l & 1)) continue;
        const Waiting& other = threads[first + l];
        if (other.operation != operation || other.mask != mask || other.line != line)
            break_off(LAUNCH_FAILED, "the lanes of a warp are at different warp operations", caller);
        if (other.value) ballot |= 1u << l;
    }
    for (unsigned l = 0; l < 32; l++) {
        if (!(members >> l & 1)) continue;
        Waiting& other = threads[first + l];
        // A lane that takes no part has no defined value: NaN, so that its use shows.
        if (operation == SIM_WARP_BALLOT) other.result = ballot;
        else if (operation == SIM_WARP_SHUFFLE)
            other.result = members >> other.source & 1 ? threads[first + other.source].value : 0xFFF3FFF3FFF3FFF3u;
        if (l != lane) {
            ready.push_back(first + l);
            lanes_waiting--;
        }
    }
    waiting &= ~members;
    if (operation == SIM_WARP_SYNC && members == lanes) races::pass_warp(thread / 32);
    return self.result;
}
