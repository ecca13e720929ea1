// Runs the blocks of a launch one after the other, and the threads of a block one at a time. A thread that must wait for
// others (barrier, warp operation) keeps its stack; the scheduler goes on with the next thread on another one.
#include <dlfcn.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <deque>

#include "simulator.hpp"

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

struct Warp {
    unsigned waiting = 0;  // lanes at a warp operation
};

struct Fault {
    Status status;
    std::string text;
    Address code;  // where in the kernel's shared object, 0 if unknown
};

const Launch* launch = nullptr;
void** arguments = nullptr;
std::vector<Fiber> fibers;
std::vector<Fiber*> free_fibers;
Fiber* running = nullptr;
void* scheduler = nullptr;
std::vector<Waiting> threads;
std::vector<Warp> warps;
std::vector<unsigned> at_barrier;
unsigned barrier_sum = 0, barrier_result = 0, warps_waiting = 0;
std::deque<unsigned> ready;

char* shared_mapping = nullptr;
bool executing = false;
pthread_t executor;
sigjmp_buf abort_jump;
struct {
    int signal;
    Address address, code;
    bool write;
} caught;
struct sigaction previous[NSIG];

SimHere& here() { return *launch->module.here; }

std::string text(const SimVec3& v) {
    return "(" + std::to_string(v.x) + "," + std::to_string(v.y) + "," + std::to_string(v.z) + ")";
}

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
    warps.resize(MAX_THREADS / 32);
    for (unsigned i = 0; i < MAX_THREADS; i++) {
        fibers[i].stack = static_cast<char*>(stacks) + i * each;
        if (mprotect(fibers[i].stack, STACK_GUARD, PROT_NONE) != 0) return false;
    }
    return true;
}

void on_signal(int signal, siginfo_t* info, void* context) {
    if (executing && pthread_equal(executor, pthread_self())) {
        auto* registers = static_cast<ucontext_t*>(context)->uc_mcontext.gregs;
        caught = {signal, reinterpret_cast<Address>(info->si_addr), Address(registers[REG_RIP]), (registers[REG_ERR] & 2) != 0};
        siglongjmp(abort_jump, 1);
    }
    const struct sigaction& old = previous[signal];
    if (old.sa_flags & SA_SIGINFO) return old.sa_sigaction(signal, info, context);
    if (old.sa_handler != SIG_DFL && old.sa_handler != SIG_IGN) return old.sa_handler(signal);
    sigaction(signal, &old, nullptr);  // not ours: the instruction faults again, with the former handler
}

void install_handlers() {
    static bool installed = false;
    if (installed) return;
    struct sigaction action {};
    action.sa_sigaction = on_signal;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
    sigemptyset(&action.sa_mask);
    for (int signal : {SIGSEGV, SIGBUS, SIGILL, SIGFPE}) sigaction(signal, &action, &previous[signal]);
    installed = true;
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

[[noreturn]] void stop(Fault fault) { throw fault; }

// Nobody can run: either all threads stand at the same barrier, or never will.
void pass_barrier() {
    const std::string kernel = "kernel `" + launch->name + "`, block " + text(here().block) + ": ";
    if (warps_waiting) {
        for (unsigned t = 0; t < here().count; t++) {
            if (!(warps[t / 32].waiting >> t % 32 & 1)) continue;
            stop({LAUNCH_FAILED, kernel + "thread " + text(threads[t].index) + " waits at the warp operation in line " +
                                     std::to_string(threads[t].line) + " for lanes that never reach it", 0});
        }
    }
    unsigned first = at_barrier.front();
    if (at_barrier.size() < here().count) {
        stop({LAUNCH_FAILED, kernel + "divergent __syncthreads() in line " + std::to_string(threads[first].line) + ": " +
                                 std::to_string(at_barrier.size()) + " of " + std::to_string(here().count) +
                                 " threads reach it, the others have ended", 0});
    }
    for (unsigned t : at_barrier) {
        if (threads[t].line == threads[first].line) continue;
        stop({LAUNCH_FAILED, kernel + "divergent __syncthreads(): thread " + text(threads[first].index) + " waits in line " +
                                 std::to_string(threads[first].line) + ", thread " + text(threads[t].index) + " in line " +
                                 std::to_string(threads[t].line), 0});
    }
    ready.assign(at_barrier.begin(), at_barrier.end());
    at_barrier.clear();
    barrier_result = barrier_sum;
    barrier_sum = 0;
}

void run_block() {
    SimHere& h = here();
    const SimModule& module = launch->module;
    if (module.shared_end > module.shared_begin) poison(module.shared_begin, module.shared_end - module.shared_begin, POISON_SHARED);
    if (launch->dynamic_shared) poison(h.dynamic_shared, launch->dynamic_shared, POISON_SHARED);
    h.next = 0;
    for (;;) {
        if (h.next < h.count) {
            h.resumed = false;
            Fiber* fiber = free_fibers.back();
            free_fibers.pop_back();
            start(fiber);
        } else if (!ready.empty()) {
            unsigned t = ready.front();
            ready.pop_front();
            h.resumed = true;
            h.linear = t;
            h.thread = threads[t].index;
            start(threads[t].fiber);
        } else if (at_barrier.empty() && warps_waiting == 0) {
            return;
        } else {
            pass_barrier();
        }
    }
}

// The source line of an address in the kernel's shared object, where addr2line is installed.
std::string source_line(Address code) {
    Dl_info info{};
    if (!code || !dladdr(reinterpret_cast<void*>(code), &info) || !info.dli_fname) return "";
    char offset[32];
    std::snprintf(offset, sizeof offset, "0x%lx", (unsigned long)(code - reinterpret_cast<Address>(info.dli_fbase)));
    const std::string output = state().folder + "/line-" + std::to_string(getpid());
    std::string line;
    if (run_program({"addr2line", "-s", "-e", info.dli_fname, offset}, output) == 0) line = read_file(output);
    std::remove(output.c_str());
    line = line.substr(0, line.find_first_of(" \n"));
    return line.empty() || line[0] == '?' ? "" : " at " + line;
}

Fault explain_signal() {
    if (caught.signal == SIGILL || caught.signal == SIGFPE)
        return {LAUNCH_FAILED, "undefined behaviour (index past a fixed-size array, misaligned address, or an integer's overflow, shift or division by zero)", caught.code};
    std::string what = caught.write ? "write to " : "read of ";
    if (Allocation* a = find(caught.address)) {
        std::string kind = a->alive ? "out-of-bounds " : "use after free: ";
        if (a->alive && a->device != launch->device) kind = "memory of another device: ";
        return {ILLEGAL_ADDRESS, kind + what + describe(caught.address), caught.code};
    }
    Address shared_end = reinterpret_cast<Address>(shared_mapping) + MAX_SHARED;
    if (caught.address >= shared_end && caught.address < shared_end + 4096)
        return {ILLEGAL_ADDRESS, "out-of-bounds " + what + "byte " + std::to_string(caught.address - shared_end) + " past the end of dynamic shared memory", caught.code};
    Address stack = reinterpret_cast<Address>(running->stack);
    if (caught.address >= stack && caught.address < stack + STACK_GUARD)
        return {LAUNCH_FAILED, "the thread needs more than " + std::to_string(STACK) + " bytes of local memory", caught.code};
    if (caught.address == 0) return {ILLEGAL_ADDRESS, what + "a null or misaligned pointer", caught.code};
    return {ILLEGAL_ADDRESS, what + "an address that is no device memory", caught.code};
}

// Separate, so that no local variable lives across sigsetjmp.
void run_blocks() {
    SimHere& h = here();
    for (h.block.z = 0; h.block.z < h.grid_dim.z; h.block.z++)
        for (h.block.y = 0; h.block.y < h.grid_dim.y; h.block.y++)
            for (unsigned x = 0; x < h.grid_dim.x; x++) {
                h.block.x = h.reverse ? h.grid_dim.x - 1 - x : x;
                run_block();
            }
}

bool run_guarded() {
    if (sigsetjmp(abort_jump, 0) != 0) return false;
    run_blocks();
    return true;
}

Fault thrown;  // by sim_trap, on a kernel's stack, where C++ exceptions cannot cross

}  // namespace

Status run_kernel(const Launch& kernel) {
    if (!make_stacks()) return fault(kernel.device, OUT_OF_MEMORY, "no memory for the threads' stacks");
    install_handlers();
    std::vector<void*> pointers;
    for (auto& argument : kernel.arguments) pointers.push_back(const_cast<char*>(argument.data()));
    launch = &kernel;
    arguments = pointers.data();
    free_fibers.clear();
    for (auto& fiber : fibers) {
        prepare(fiber);
        free_fibers.push_back(&fiber);
    }
    ready.clear();
    at_barrier.clear();
    std::fill(warps.begin(), warps.end(), Warp{});
    barrier_sum = warps_waiting = 0;
    SimHere& h = here();
    h.block_dim = kernel.block;
    h.grid_dim = kernel.grid;
    h.count = kernel.block.x * kernel.block.y * kernel.block.z;
    h.reverse = state().reverse;
    h.dynamic_shared = shared_mapping + MAX_SHARED - (kernel.dynamic_shared + 15) / 16 * 16;
    executor = pthread_self();
    caught = {};
    Fault fault{};
    executing = true;
    try {
        if (!run_guarded()) fault = caught.signal ? explain_signal() : thrown;
    } catch (const Fault& f) {
        fault = f;
    }
    executing = false;
    if (fault.status == SUCCESS) return SUCCESS;
    std::string where = "";
    if (fault.text.compare(0, 6, "kernel") != 0)
        where = "kernel `" + kernel.name + "`" + source_line(fault.code) + ", block " + text(h.block) + ", thread " + text(h.thread) + ": ";
    return sim::fault(kernel.device, fault.status, where + fault.text);
}

}  // namespace sim

using namespace sim;

EXPORT void sim_trap(const char* reason) {
    caught.signal = 0;
    thrown = {ASSERT, reason, reinterpret_cast<Address>(__builtin_return_address(0)) - 1};
    siglongjmp(abort_jump, 1);
}

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
    if (!(mask >> lane & 1)) sim_trap("a warp operation whose mask leaves out the thread itself");
    unsigned members = mask & lanes;
    Waiting& self = threads[thread];
    self.line = line, self.operation = operation, self.mask = mask, self.value = value, self.source = source;
    Warp& warp = warps[thread / 32];
    warp.waiting |= 1u << lane;
    if ((warp.waiting & members) != members) {
        warps_waiting++;
        wait();
        return threads[thread].result;
    }
    // The last of the group: compute everyone's result and go on.
    unsigned ballot = 0;
    for (unsigned l = 0; l < 32; l++) {
        if (!(members >> l & 1)) continue;
        const Waiting& other = threads[first + l];
        if (other.operation != operation || other.mask != mask || other.line != line)
            sim_trap("the lanes of a warp are at different warp operations");
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
            warps_waiting--;
        }
    }
    warp.waiting &= ~members;
    return self.result;
}
