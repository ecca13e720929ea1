// What a compiled kernel module and the simulator share. Includes nothing: kernels are compiled with -nostdinc.
#pragma once

struct SimVec3 {
    unsigned x, y, z;
};

// The running thread's coordinates. One per module, set by the simulator before it runs a block.
struct SimHere {
    SimVec3 thread, block, block_dim, grid_dim;
    unsigned count;   // threads of the block
    unsigned next;    // position of the next thread that has not started
    unsigned linear;  // number of the running thread, x fastest
    bool reverse;     // start threads from the last to the first
    bool resumed;     // the running thread has waited before: the stack is its own
    char* dynamic_shared;
};

// SIM_TABLE: a structure that begins with a pointer and has a member `pointers`, an int. Where that is not 0, so many pointers lie there.
enum SimKind : unsigned { SIM_VALUE, SIM_READ_POINTER, SIM_POINTER, SIM_TABLE };

struct SimParameter {
    unsigned size;
    SimKind kind;
    unsigned pointers;  // the member's offset
};

struct SimKernel {
    void (*run)(void** arguments);  // starts threads until none is left or the stack's thread has waited
    const SimParameter* parameters;
    unsigned parameter_count;
    unsigned max_threads;  // __launch_bounds__, 0 if absent
};

struct SimModule {
    SimHere* here;
    char *shared_begin, *shared_end;  // all `__shared__` variables of fixed size
    bool checks_races;                // compiled to report its accesses
};

enum SimWarp : int { SIM_WARP_SYNC, SIM_WARP_SHUFFLE, SIM_WARP_BALLOT };

extern "C" {
unsigned sim_barrier(int line, unsigned value);  // the sum of the block's values
unsigned long long sim_warp(int line, SimWarp operation, unsigned mask, unsigned long long value, int source);
[[noreturn]] void sim_trap(const char* reason);
void sim_fence();
void sim_atomic(void* at, unsigned bytes);  // before an atomic operation
}
