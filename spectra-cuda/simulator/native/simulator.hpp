// The state that the stand-in libraries share.
#pragma once
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "abi.hpp"

#define EXPORT extern "C" __attribute__((visibility("default")))

namespace sim {

using Address = std::uint64_t;

enum Status : int {
    SUCCESS = 0,
    INVALID_VALUE = 1,
    OUT_OF_MEMORY = 2,
    NOT_INITIALIZED = 3,
    INVALID_DEVICE = 101,
    INVALID_IMAGE = 200,
    INVALID_CONTEXT = 201,
    INVALID_PTX = 218,
    INVALID_HANDLE = 400,
    NOT_FOUND = 500,
    NOT_READY = 600,
    CONTEXT_IS_DESTROYED = 709,
    ILLEGAL_ADDRESS = 700,
    LAUNCH_OUT_OF_RESOURCES = 701,
    LAUNCH_TIMEOUT = 702,
    ASSERT = 710,
    MISALIGNED_ADDRESS = 716,
    LAUNCH_FAILED = 719,
    NOT_SUPPORTED = 801,
    STREAM_CAPTURE_UNSUPPORTED = 900,
    STREAM_CAPTURE_INVALIDATED = 901,
    STREAM_CAPTURE_UNMATCHED = 903,
    STREAM_CAPTURE_UNJOINED = 904,
    STREAM_CAPTURE_ISOLATION = 905,
};

// Same layout as `Counters` in src/counters.rs.
struct Counters {
    std::uint64_t allocations_alive, allocations_total, bytes_alive, bytes_peak, bytes_total;
    std::uint64_t launches, products, flops, memsets, graph_launches;
    std::uint64_t host_to_device_copies, host_to_device_bytes;
    std::uint64_t device_to_host_copies, device_to_host_bytes;
    std::uint64_t device_to_device_copies, device_to_device_bytes;
    std::uint64_t stream_waits, context_waits, event_waits, copy_waits;
    std::uint64_t streams_alive, streams_total, events_alive, events_total, modules_compiled;
    std::uint64_t collective_calls, collective_groups, collective_bytes;
};

// When something happened: for each stream, the number of its operations known to be over.
using Clock = std::map<std::uint64_t, std::uint64_t>;
void merge(Clock& into, const Clock& from);

struct Allocation {
    char* mapping;  // guard pages, canary, memory, canary, guard pages
    std::size_t mapping_size;
    char* begin;
    std::size_t size;
    int device;
    bool alive;
    std::uint64_t writer = 0, writer_tick = 0;  // the last operation that wrote
    Clock readers;                              // operations that read since
};

struct Access {
    Address address;
    std::size_t bytes;
    bool write;
};

// Work for a stream: run at once, or kept and replayed when the stream is captured into a graph.
struct Operation {
    std::string name;
    std::vector<Access> accesses;
    std::function<Status()> run;
    // Of work that needs others: asked, once all before it is done, until it says that it can run.
    std::function<bool()> ready = nullptr;
    bool asked = false;
};

struct Graph {
    std::vector<Operation> operations;
};

struct Stream {
    std::uint64_t id;
    int device;
    bool blocking;  // waits for the default stream and is waited for by it
    Clock clock;
    std::shared_ptr<Graph> capture;
    Status capture_error = SUCCESS;
    std::deque<Operation> queue;  // what waits, and what comes after it
};

struct Context {
    bool retained_once = false;
    int retained = 0;
    Status sticky = SUCCESS;  // after a fault every call fails with it
    Stream* default_stream = nullptr;
    Stream* per_thread_stream = nullptr;
};

struct State {
    std::recursive_mutex lock;
    Counters counters{};
    std::map<std::string, std::uint64_t> launches;
    std::vector<std::string> violations;
    std::uint64_t memory_limit = std::uint64_t(16) << 30;
    int device_count = 1;
    bool reverse = false, check_races = false;
    std::uint64_t until_failure = 0;  // calls that queue work until one fails; 0: none does
    std::string compiler, compiler_version, folder;
    Context contexts[8];
    std::set<Stream*> streams;
    Clock host;
    std::uint64_t failing_group = 0;  // of collectives, counted on each rank; 0: none
    int failing_rank = 0;
    bool failure_is_told = false;
    std::map<Address, Allocation> allocations;  // by the address of the mapping, freed ones too
};
State& state();

struct Lock : std::lock_guard<std::recursive_mutex> {
    Lock() : std::lock_guard<std::recursive_mutex>(state().lock) {}
};

void violation(const std::string& text);
Status fault(int device, Status status, const std::string& text);  // a violation that breaks the context

// memory.cpp
Status allocate(int device, std::size_t bytes, Address* address);
Status release(Allocation& allocation);
Allocation* find(Address address);                           // whose mapping, guard pages included, holds the address
Allocation* containing(Address address, std::size_t bytes);  // alive, and the whole range lies in it
std::string describe(Address address);
void check_canaries(Allocation& allocation, const std::string& after);
void poison(void* begin, std::size_t bytes, std::uint8_t kind);
constexpr std::uint8_t POISON_FRESH = 0xF7, POISON_CANARY = 0xF5, POISON_SHARED = 0xF3;

// stream.cpp
int& current_device();  // -1: none bound to this host thread
Stream* make_stream(int device, bool blocking);
Stream* stream_of(void* handle, int device);  // null: no such stream
Status enqueue(Stream& stream, Operation operation);          // what may be captured, and fails on request
Status submit(Stream& stream, Operation operation);           // at once, or when it can
Status execute(Stream& stream, const Operation& operation);
void advance();                                               // whatever can run by now does
Status wait_until(const std::function<bool()>& is_over);      // without the lock, which must have been taken once
void retire(Stream* stream);                                  // deleted when its work is done

// execution.cpp
struct Launch {
    std::string name;
    int device;
    const SimKernel* kernel;
    SimModule module;
    SimVec3 grid, block;
    unsigned dynamic_shared;
    std::vector<std::vector<char>> arguments;
    std::shared_ptr<void> library;  // that holds the kernel
    bool checks_races;
};
Status run_kernel(const Launch& launch);

// races.cpp
namespace races {
void forget(Address begin);  // of an allocation
}

// rewrite.cpp
std::string rewrite(const std::string& source);

// process.cpp
int run_program(const std::vector<std::string>& arguments, const std::string& output);
std::string read_file(const std::string& path);

}  // namespace sim
