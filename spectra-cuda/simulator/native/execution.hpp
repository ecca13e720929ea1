// Between the scheduler of threads (execution.cpp) and what breaks them off (faults.cpp).
#pragma once
#include "simulator.hpp"

namespace sim {

struct Fault {
    Status status;
    std::string text;
    Address code;  // in the kernel's shared object, 0 if unknown
};

// Whether `work` has come to its end and returned true. A signal that it raises, and `break_off`, end it at once.
bool run_guarded(bool (*work)());
bool report(Status status, const std::string& text);  // what `explain` will tell; false, for `work` to return
[[noreturn]] void break_off(Status status, const char* text, const void* code);  // from a thread of the kernel
Fault explain(int device, Address stack_guard, Address shared_end);              // why `run_guarded` was false
std::string source_line(Address code);                                           // " at file:line", or nothing

// What orders the accesses of a kernel's threads, for races.cpp.
namespace races {
void begin_launch(const Launch& launch);
void begin_block();
void pass_barrier();
void pass_warp(unsigned warp);
}  // namespace races

}  // namespace sim
