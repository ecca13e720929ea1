// What breaks a kernel off: signals of the CPU, and what the simulator finds.
#include <dlfcn.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <ucontext.h>
#include <unistd.h>

#include <cstdio>

#include "execution.hpp"

namespace sim {
namespace {

bool executing = false;
pthread_t executor;
sigjmp_buf abort_jump;
struct {
    int signal;  // 0: none, the fault was reported
    Address address, code;
    bool write;
} caught;
struct sigaction previous[NSIG];
Fault reported;

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

}  // namespace

bool run_guarded(bool (*work)()) {
    install_handlers();
    executor = pthread_self();
    caught = {};
    executing = true;
    bool completed = sigsetjmp(abort_jump, 0) == 0 && work();
    executing = false;
    return completed;
}

bool report(Status status, const std::string& text) {
    reported = {status, text, 0};
    return false;
}

void break_off(Status status, const char* text, const void* code) {
    reported = {status, text, reinterpret_cast<Address>(code) - 1};  // the call before the return address
    siglongjmp(abort_jump, 1);
}

Fault explain(int device, Address stack_guard, Address shared_end) {
    if (!caught.signal) return reported;
    if (caught.signal == SIGILL || caught.signal == SIGFPE)
        return {LAUNCH_FAILED, "undefined behaviour (index past a fixed-size array, misaligned address, or an integer's overflow, "
                               "shift or division by zero)", caught.code};
    const std::string what = caught.write ? "write to " : "read of ";
    auto within_page = [](Address begin) { return caught.address >= begin && caught.address < begin + 4096; };
    if (const Allocation* a = find(caught.address)) {
        std::string kind = !a->alive ? "use after free: " : a->device != device ? "memory of another device: " : "out-of-bounds ";
        return {ILLEGAL_ADDRESS, kind + what + describe(caught.address), caught.code};
    }
    if (within_page(shared_end))
        return {ILLEGAL_ADDRESS, "out-of-bounds " + what + std::to_string(caught.address - shared_end) +
                                     " bytes past the end of dynamic shared memory", caught.code};
    if (within_page(stack_guard)) return {LAUNCH_FAILED, "the thread needs too much local memory", caught.code};
    if (caught.address == 0) return {ILLEGAL_ADDRESS, what + "a null or misaligned pointer", caught.code};
    return {ILLEGAL_ADDRESS, what + "an address that is no device memory", caught.code};
}

// Where addr2line is installed.
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

}  // namespace sim

EXPORT void sim_trap(const char* reason) { sim::break_off(sim::ASSERT, reason, __builtin_return_address(0)); }
