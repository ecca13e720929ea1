// libnvrtc.so: "compiles" CUDA C++ to a shared object for the CPU. The PTX text only names that object.
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>

#include "simulator.hpp"

using namespace sim;

namespace {

enum Result : int {
    NVRTC_SUCCESS = 0,
    NVRTC_ERROR_INVALID_INPUT = 3,
    NVRTC_ERROR_INVALID_PROGRAM = 4,
    NVRTC_ERROR_INVALID_OPTION = 5,
    NVRTC_ERROR_COMPILATION = 6,
    NVRTC_ERROR_INTERNAL_ERROR = 11,
};

struct Program {
    std::string source, name, log, ptx;
    bool real_architecture = false;
};
std::set<Program*> programs;

std::string hash(const std::string& text) {
    std::uint64_t a = 0xcbf29ce484222325u, b = 0x9E3779B97F4A7C15u;
    for (unsigned char c : text) {
        a = (a ^ c) * 0x100000001b3u;
        b = (b + c) * 0xD6E8FEB86659FD93u, b ^= b >> 32;
    }
    char digits[33];
    std::snprintf(digits, sizeof digits, "%016llx%016llx", (unsigned long long)a, (unsigned long long)b);
    return digits;
}

bool write_file(const std::string& path, const std::string& text) {
    FILE* file = std::fopen(path.c_str(), "w");
    if (!file) return false;
    bool written = std::fwrite(text.data(), 1, text.size(), file) == text.size();
    return std::fclose(file) == 0 && written;
}

// NVRTC's options; those that the CPU compiler understands too are handed on.
bool translate(const std::vector<std::string>& options, std::vector<std::string>& flags, Program& program) {
    std::string architecture = "900";
    for (std::size_t i = 0; i < options.size(); i++) {
        std::string option = options[i], value;
        auto equals = option.find('=');
        if (option.compare(0, 2, "-D") == 0 || option.compare(0, 2, "-U") == 0 || option.compare(0, 2, "-I") == 0) {
            flags.push_back(option);
            continue;
        }
        if (equals != std::string::npos) value = option.substr(equals + 1), option = option.substr(0, equals);
        if (option == "--gpu-architecture" || option == "-arch") {
            auto digits = value.find_first_of("0123456789");
            if (value.compare(0, 8, "compute_") && value.compare(0, 3, "sm_")) return false;
            program.real_architecture = value[0] == 's';
            architecture = std::to_string(std::atoi(value.c_str() + digits) * 10);
        } else if (option == "--define-macro") {
            flags.push_back("-D" + value);
        } else if (option == "--include-path") {
            flags.push_back("-I" + value);
        } else if (option == "--std" || option == "-std") {
            flags.push_back("-std=" + value);
        } else {
            static const std::set<std::string> ignored = {
                "--fmad", "-fmad", "--ftz", "-ftz", "--prec-sqrt", "-prec-sqrt", "--prec-div", "-prec-div", "--use_fast_math",
                "-use_fast_math", "--maxrregcount", "-maxrregcount", "--extra-device-vectorization", "--restrict", "-restrict",
                "--device-debug", "-G", "--generate-line-info", "-lineinfo", "--disable-warnings", "-w", "--dopt", "-dopt",
                "--ptxas-options", "--device-as-default-execution-space", "-default-device", "--no-source-include"};
            if (!ignored.count(option)) return false;
        }
    }
    flags.push_back("-D__CUDA_ARCH__=" + architecture);
    return true;
}

const std::vector<std::string> race_flags = {"-fsanitize=thread", "--param=tsan-instrument-func-entry-exit=0"};

Result compile(Program& program, const std::vector<std::string>& options) {
    const State& s = state();
    std::vector<std::string> flags = {"-std=c++17"};
    if (!translate(options, flags, program)) {
        program.log = "an option that NVRTC does not know";
        return NVRTC_ERROR_INVALID_OPTION;
    }
    std::string key = s.compiler_version + '\0' + program.name + '\0' + program.source;
    for (auto& flag : flags) key += '\0' + flag;
    if (s.check_races) key += "\1races";
    const std::string base = s.folder + "/kernels-" + hash(key), object = base + ".so";
    program.ptx = "// Not PTX: names the code that the simulated device runs.\n//object:" + object + "\n";
    struct stat info;
    if (stat(object.c_str(), &info) == 0) return NVRTC_SUCCESS;

    const std::string unique = base + "-" + std::to_string(getpid()), source = unique + ".cu", log = unique + ".log";
    const std::string expanded = unique + ".i", rewritten = unique + ".ii", code = unique + ".o", output = unique + ".so";
    auto finish = [&](Result result) {
        program.log += read_file(log);
        for (auto& path : {source, log, expanded, rewritten, code, output}) std::remove(path.c_str());
        return result;
    };
    if (!write_file(source, "#line 1 \"" + program.name + "\"\n" + program.source)) return finish(NVRTC_ERROR_INTERNAL_ERROR);
    std::vector<std::string> preprocess = {s.compiler, "-E", "-x", "c++", "-nostdinc", "-nostdinc++", "-D__CUDACC__",
        "-D__CUDACC_RTC__", "-D__CUDA_SIM__", "-include", s.folder + "/device.hpp", source, "-o", expanded};
    preprocess.insert(preprocess.end(), flags.begin(), flags.end());
    if (s.check_races) preprocess.insert(preprocess.end(), race_flags.begin(), race_flags.end());
    if (run_program(preprocess, log) != 0) return finish(NVRTC_ERROR_COMPILATION);
    if (!write_file(rewritten, rewrite(read_file(expanded)))) return finish(NVRTC_ERROR_INTERNAL_ERROR);
    // Contraction off: a*b+c rounds twice unless the source says fmaf. Traps: an index past a fixed-size array is found.
    std::vector<std::string> build = {s.compiler, "-c", "-x", "c++-cpp-output", "-std=c++17", "-O2", "-g1", "-fstack-clash-protection",
        "-fno-strict-aliasing", "-ffp-contract=off", "-fno-semantic-interposition", "-fno-exceptions", "-fno-rtti", "-fPIC",
        "-fsanitize=bounds,alignment,shift-exponent,integer-divide-by-zero,signed-integer-overflow",
        "-fsanitize-undefined-trap-on-error", rewritten, "-o", code};
    if (s.check_races) build.insert(build.end(), race_flags.begin(), race_flags.end());
    // Linked without these flags: the simulator itself is the runtime that they need.
    if (run_program(build, log) != 0 || run_program({s.compiler, "-shared", code, "-o", output}, log) != 0)
        return finish(NVRTC_ERROR_COMPILATION);
    if (std::rename(output.c_str(), object.c_str()) != 0) return finish(NVRTC_ERROR_INTERNAL_ERROR);
    state().counters.modules_compiled++;
    return finish(NVRTC_SUCCESS);
}

bool known(Program* program) { return programs.count(program) != 0; }

Result give(Program* program, const std::string& text, std::size_t* size, char* out) {
    if (!known(program)) return NVRTC_ERROR_INVALID_PROGRAM;
    if (size) *size = text.size() + 1;
    if (out) std::memcpy(out, text.c_str(), text.size() + 1);
    return NVRTC_SUCCESS;
}

}  // namespace

EXPORT Result nvrtcVersion(int* major, int* minor) {
    *major = 12, *minor = 8;
    return NVRTC_SUCCESS;
}

EXPORT const char* nvrtcGetErrorString(Result result) {
    return result == NVRTC_SUCCESS ? "NVRTC_SUCCESS" : result == NVRTC_ERROR_COMPILATION ? "NVRTC_ERROR_COMPILATION" : "NVRTC_ERROR";
}

EXPORT Result nvrtcCreateProgram(Program** out, const char* source, const char* name, int headers, const char* const*, const char* const*) {
    Lock lock;
    if (!source || headers != 0) return NVRTC_ERROR_INVALID_INPUT;  // no headers in memory
    *out = new Program{source, name ? name : "default_program", "", ""};
    programs.insert(*out);
    return NVRTC_SUCCESS;
}

EXPORT Result nvrtcCompileProgram(Program* program, int count, const char* const* options) {
    Lock lock;
    if (!known(program)) return NVRTC_ERROR_INVALID_PROGRAM;
    program->log.clear();
    return compile(*program, std::vector<std::string>(options, options + count));
}

EXPORT Result nvrtcGetPTXSize(Program* program, std::size_t* size) {
    Lock lock;
    return give(program, known(program) ? program->ptx : "", size, nullptr);
}
EXPORT Result nvrtcGetPTX(Program* program, char* out) {
    Lock lock;
    return give(program, known(program) ? program->ptx : "", nullptr, out);
}
// As with NVRTC, there is machine code only for a real architecture (sm_90), not for a virtual one (compute_90).
EXPORT Result nvrtcGetCUBINSize(Program* program, std::size_t* size) {
    Lock lock;
    if (known(program) && !program->real_architecture) return *size = 0, NVRTC_SUCCESS;
    return nvrtcGetPTXSize(program, size);
}
EXPORT Result nvrtcGetCUBIN(Program* program, char* out) {
    Lock lock;
    if (known(program) && !program->real_architecture) return NVRTC_ERROR_INVALID_PROGRAM;
    return nvrtcGetPTX(program, out);
}
EXPORT Result nvrtcGetProgramLogSize(Program* program, std::size_t* size) {
    Lock lock;
    return give(program, known(program) ? program->log : "", size, nullptr);
}
EXPORT Result nvrtcGetProgramLog(Program* program, char* out) {
    Lock lock;
    return give(program, known(program) ? program->log : "", nullptr, out);
}

EXPORT Result nvrtcDestroyProgram(Program** program) {
    Lock lock;
    if (!known(*program)) return NVRTC_ERROR_INVALID_PROGRAM;
    programs.erase(*program);
    delete *program;
    return NVRTC_SUCCESS;
}
