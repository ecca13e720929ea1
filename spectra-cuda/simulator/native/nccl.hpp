// What the files of libnccl.so share: ranks are threads of this process, each with a device of its own.
#pragma once
#include <memory>
#include <tuple>

#include "simulator.hpp"

namespace sim::nccl {

enum Result : int { OK = 0, CUDA_ERROR = 1, SYSTEM_ERROR = 2, INTERNAL_ERROR = 3, INVALID_ARGUMENT = 4, INVALID_USAGE = 5, REMOTE_ERROR = 6, IN_PROGRESS = 7 };
enum Kind { ALL_REDUCE, REDUCE, BROADCAST, ALL_GATHER, REDUCE_SCATTER, SEND, RECEIVE };
enum Op { SUM = 0, PRODUCT = 1, MAX = 2, MIN = 3 };
enum Number { FLOAT32 = 7, FLOAT64 = 8 };

struct Comm;

// One call of one rank.
struct Call {
    Kind kind;
    const char* from;
    char* to;
    std::size_t count;
    int type, op, root;  // root: or the other rank of a message
    std::uint64_t number = 0;
    bool is_over = false;

    std::size_t bytes() const;  // of `count`
    // What it reads and writes on rank `rank` of `size`.
    std::vector<Access> accesses(int rank, int size) const;
    std::string describe() const;
};

// Those who share an id.
struct World {
    std::vector<Comm*> ranks;
    int joined = 0;
    // Calls that have arrived where others have not, by their number.
    std::map<std::uint64_t, std::map<int, std::shared_ptr<Call>>> collectives;
    std::map<std::tuple<int, int, std::uint64_t>, std::map<Kind, std::shared_ptr<Call>>> messages;  // from, to
};

struct Comm {
    std::shared_ptr<World> world;
    int rank, device;
    bool blocking;
    bool is_busy;  // asynchronous and not asked since its last call
    Result async = OK;
    std::uint64_t queued = 0, groups = 0, collectives = 0;
    std::map<int, std::uint64_t> sent = {}, received = {};
    unsigned long thread = 0;  // of the last call outside a group
};

std::size_t size_of(int type);  // 0: no such type
// All ranks' calls of one collective have arrived, or both of a message: moves the data.
void run(const std::vector<Call*>& calls);
void run(const Call& send, Call& receive);

}  // namespace sim::nccl
