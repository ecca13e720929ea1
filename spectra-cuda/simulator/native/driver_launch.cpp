// libcuda.so: modules, functions and their launches.
#include <dlfcn.h>

#include <algorithm>
#include <cstring>

#include "driver.hpp"

using namespace sim;

namespace {

struct Module;
struct Function {
    Module* module;
    std::string name;
    const SimKernel* kernel;
    int max_dynamic_shared = 48 << 10;
};
struct Module {
    std::shared_ptr<void> library;  // kept by captured launches too
    int device;
    SimModule code;
    std::map<std::string, Function> functions;
};

std::set<Module*> modules;

}  // namespace

EXPORT Status cuModuleLoadData(Module** out, const void* image) {
    WITH_CONTEXT;
    const std::string text = static_cast<const char*>(image), mark = "//object:";
    auto begin = text.find(mark);
    if (begin == std::string::npos) return INVALID_PTX;
    begin += mark.size();
    void* library = dlopen(text.substr(begin, text.find('\n', begin) - begin).c_str(), RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        violation(std::string("module does not load: ") + dlerror());
        return INVALID_IMAGE;
    }
    auto code = reinterpret_cast<SimModule (*)()>(dlsym(library, "sim_module"));
    *out = new Module{{library, dlclose}, device, code(), {}};
    modules.insert(*out);
    return SUCCESS;
}
EXPORT Status cuModuleLoad(Module** out, const char* path) {
    const std::string text = read_file(path);
    return text.empty() ? Status(301) : cuModuleLoadData(out, text.c_str());
}
EXPORT Status cuModuleUnload(Module* module) {
    WITH_CONTEXT;
    if (!modules.erase(module)) return INVALID_HANDLE;
    delete module;
    return SUCCESS;
}
EXPORT Status cuModuleGetFunction(Function** out, Module* module, const char* name) {
    WITH_CONTEXT;
    if (!modules.count(module)) return INVALID_HANDLE;
    auto kernel = static_cast<const SimKernel*>(dlsym(module->library.get(), (std::string("sim_kernel_") + name).c_str()));
    if (!kernel) return NOT_FOUND;
    *out = &module->functions.try_emplace(name, Function{module, name, kernel}).first->second;
    return SUCCESS;
}

static bool is_function(const Function* function) {
    for (const Module* module : modules)
        for (auto& [name, candidate] : module->functions)
            if (&candidate == function) return true;
    return false;
}

EXPORT Status cuFuncGetAttribute(int* value, int attribute, Function* function) {
    WITH_CONTEXT;
    if (!is_function(function)) return INVALID_HANDLE;
    const SimModule& code = function->module->code;
    const std::map<int, int> values = {{0, function->kernel->max_threads ? int(function->kernel->max_threads) : 1024},
                                       {1, int(code.shared_end - code.shared_begin)}, {4, 32}, {5, 90}, {6, 90},
                                       {8, function->max_dynamic_shared}};
    auto at = values.find(attribute);
    *value = at == values.end() ? 0 : at->second;
    return SUCCESS;
}
EXPORT Status cuFuncSetAttribute(Function* function, int attribute, int value) {
    WITH_CONTEXT;
    if (!is_function(function)) return INVALID_HANDLE;
    if (attribute != 8 && attribute != 9) return INVALID_VALUE;
    if (attribute == 8 && (value < 0 || value > 232448)) return INVALID_VALUE;
    if (attribute == 8) function->max_dynamic_shared = value;
    return SUCCESS;
}
EXPORT Status cuOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, Function* function, int threads, std::size_t) {
    WITH_CONTEXT;
    if (!is_function(function) || threads <= 0) return INVALID_VALUE;
    *blocks = std::min(32, 2048 / threads);
    return SUCCESS;
}

// What the pointers of a table lead to: read at least.
static void follow(const char* value, const SimParameter& parameter, std::vector<Access>& accesses) {
    Address table, at;
    int count;
    std::memcpy(&table, value, sizeof table);
    std::memcpy(&count, value + parameter.pointers, sizeof count);
    if (count <= 0 || !containing(table, count * sizeof at)) return;  // a fault where it is used
    accesses.push_back({table, count * sizeof at, false});
    for (int i = 0; i < count; i++) {
        at = reinterpret_cast<const Address*>(table)[i];
        if (containing(at, 1)) accesses.push_back({at, 1, false});
    }
}

EXPORT Status cuLaunchKernel(Function* function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz,
                             unsigned shared, void* handle, void** parameters, void** extra) {
    WITH_STREAM(handle);
    if (!is_function(function) || function->module->device != device) return INVALID_HANDLE;
    if (extra) return NOT_SUPPORTED;
    std::uint64_t threads = std::uint64_t(bx) * by * bz;
    if (!gx || !gy || !gz || gx > 2147483647u || gy > 65535 || gz > 65535 || threads == 0 || threads > 1024 || bz > 64) return INVALID_VALUE;
    if (shared > unsigned(function->max_dynamic_shared)) return INVALID_VALUE;
    const SimKernel& kernel = *function->kernel;
    if (kernel.max_threads && threads > kernel.max_threads) return LAUNCH_OUT_OF_RESOURCES;
    if (kernel.parameter_count && !parameters) return INVALID_VALUE;

    auto launch = std::make_shared<Launch>(Launch{function->name, device, &kernel, function->module->code, {gx, gy, gz}, {bx, by, bz}, shared, {}, function->module->library, function->module->code.checks_races});
    Operation operation{"kernel `" + function->name + "`", {}, nullptr};
    for (unsigned i = 0; i < kernel.parameter_count; i++) {
        const SimParameter& parameter = kernel.parameters[i];
        const char* value = static_cast<const char*>(parameters[i]);
        launch->arguments.emplace_back(value, value + parameter.size);
        Address address;
        if (parameter.kind == SIM_VALUE || parameter.kind == SIM_TABLE) {
            // A structure may hold pointers; a word that is one is taken for it, and for a read at least.
            for (unsigned at = 0; at + sizeof address <= parameter.size; at += sizeof address) {
                std::memcpy(&address, value + at, sizeof address);
                if (containing(address, 1)) operation.accesses.push_back({address, 1, false});
            }
            if (parameter.kind == SIM_TABLE) follow(value, parameter, operation.accesses);
            continue;
        }
        std::memcpy(&address, value, sizeof address);
        if (!address) continue;  // null: a fault if it is used
        // What lies behind a pointer's allocation cannot be reached on real hardware either way; here it may be host memory.
        const Allocation* a = containing(address, 0);
        if (!a || a->device != device) {
            fault(device, ILLEGAL_ADDRESS, operation.name + ": argument " + std::to_string(i + 1) + " points to " +
                                               (a ? "memory of another device" : describe(address)));
            return SUCCESS;  // as on real hardware the next call reports it
        }
        std::size_t rest = reinterpret_cast<Address>(a->begin) + a->size - address;
        if (rest) operation.accesses.push_back({address, rest, parameter.kind == SIM_POINTER});
    }
    operation.run = [launch] {
        state().counters.launches++;
        state().launches[launch->name]++;
        return run_kernel(*launch);
    };
    Status status = enqueue(*stream, std::move(operation));
    return state().contexts[device].sticky ? SUCCESS : status;  // a fault is reported by the next call
}
