// CUDA C++ for the CPU: included before every kernel source. Declares only what NVRTC declares without headers, so that a
// kernel that needs more does not compile here either.
#pragma once
#include "abi.hpp"

using size_t = decltype(sizeof(0));
static_assert(sizeof(size_t) == 8, "64-bit only");

extern "C" __attribute__((visibility("hidden"))) SimHere sim_here;
SimHere sim_here;
extern "C" __attribute__((weak, visibility("hidden"))) char __start_sim_shared[], __stop_sim_shared[];
#ifdef __SANITIZE_THREAD__
constexpr bool sim_checks_races = true;
#else
constexpr bool sim_checks_races = false;
#endif
extern "C" SimModule sim_module() { return {&sim_here, __start_sim_shared, __stop_sim_shared, sim_checks_races}; }

// __global__, __shared__ and __launch_bounds__ are left for the rewriter.
#define __device__
#define __host__
#define __constant__ static
#define __forceinline__ inline __attribute__((always_inline))
#define __noinline__ __attribute__((noinline))
#define __align__(n) __attribute__((aligned(n)))

#define threadIdx (sim_here.thread)
#define blockIdx (sim_here.block)
#define blockDim (sim_here.block_dim)
#define gridDim (sim_here.grid_dim)
#define warpSize 32

#define __syncthreads() ((void)sim_barrier(__LINE__, 0))
#define __syncthreads_count(p) ((int)sim_barrier(__LINE__, (p) ? 1 : 0))
#define __syncthreads_or(p) ((int)(sim_barrier(__LINE__, (p) ? 1 : 0) != 0))
#define __syncthreads_and(p) ((int)(sim_barrier(__LINE__, (p) ? 0 : 1) == 0))

struct SimSyncWarp {
    int line;
    void operator()(unsigned mask = 0xffffffffu) const { sim_warp(line, SIM_WARP_SYNC, mask, 0, 0); }
};
#define __syncwarp SimSyncWarp{__LINE__}
#define __ballot_sync(mask, p) ((unsigned)sim_warp(__LINE__, SIM_WARP_BALLOT, mask, (p) ? 1 : 0, 0))
#define __any_sync(mask, p) ((int)(__ballot_sync(mask, p) != 0))
#define __all_sync(mask, p) ((int)(__ballot_sync(mask, !(p)) == 0))
#define __shfl_sync(mask, value, ...) sim_shuffle(__LINE__, mask, value, 'i', __VA_ARGS__)
#define __shfl_xor_sync(mask, value, ...) sim_shuffle(__LINE__, mask, value, 'x', __VA_ARGS__)
#define __shfl_down_sync(mask, value, ...) sim_shuffle(__LINE__, mask, value, 'd', __VA_ARGS__)
#define __shfl_up_sync(mask, value, ...) sim_shuffle(__LINE__, mask, value, 'u', __VA_ARGS__)

// The source lane of each shuffle as the CUDA C++ programming guide defines it; out of the segment: the own value.
template <class T>
inline T sim_shuffle(int line, unsigned mask, T value, char kind, int operand, int width = 32) {
    static_assert(sizeof(T) == 4 || sizeof(T) == 8, "shuffles move 4 or 8 bytes");
    int lane = sim_here.linear % 32, first = lane & ~(width - 1), source = lane;
    if (kind == 'i') source = first + (operand & (width - 1));
    if (kind == 'x') source = lane ^ operand;
    if (kind == 'd') source = lane + operand;
    if (kind == 'u') source = lane - operand;
    bool outside = kind == 'u' ? source < first : source >= first + width;
    if (outside) source = lane;
    union {
        T value;
        unsigned long long bits;
    } moved;
    moved.bits = 0;
    moved.value = value;
    moved.bits = sim_warp(line, SIM_WARP_SHUFFLE, mask, moved.bits, source);
    return moved.value;
}

#define SIM_VECTOR2(T, N, A)                             \
    struct __attribute__((aligned(A))) N##2 { T x, y; }; \
    inline N##2 make_##N##2(T x, T y) { return {x, y}; }
#define SIM_VECTOR4(T, N, A)                                   \
    struct __attribute__((aligned(A))) N##4 { T x, y, z, w; }; \
    inline N##4 make_##N##4(T x, T y, T z, T w) { return {x, y, z, w}; }
SIM_VECTOR2(float, float, 8)
SIM_VECTOR4(float, float, 16)
SIM_VECTOR2(double, double, 16)
SIM_VECTOR2(int, int, 8)
SIM_VECTOR4(int, int, 16)
SIM_VECTOR2(unsigned, uint, 8)
SIM_VECTOR4(unsigned, uint, 16)
SIM_VECTOR2(unsigned short, ushort, 4)
SIM_VECTOR4(unsigned short, ushort, 8)
struct float3 { float x, y, z; };
using uint3 = SimVec3;
struct dim3 {
    unsigned x, y, z;
    constexpr dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};

extern "C" {
float sqrtf(float), fabsf(float), fmaf(float, float, float), fmaxf(float, float), fminf(float, float), expf(float), exp2f(float);
float logf(float), log2f(float), log1pf(float), expm1f(float), powf(float, float), sinf(float), cosf(float), tanhf(float);
float floorf(float), ceilf(float), roundf(float), rintf(float), truncf(float), copysignf(float, float), ldexpf(float, int);
float hypotf(float, float), fmodf(float, float), cbrtf(float), erff(float), frexpf(float, int*);
double sqrt(double), fabs(double), fma(double, double, double), fmax(double, double), fmin(double, double), exp(double), exp2(double);
double log(double), log2(double), log1p(double), expm1(double), pow(double, double), sin(double), cos(double), tanh(double);
double floor(double), ceil(double), round(double), rint(double), trunc(double), copysign(double, double), ldexp(double, int);
double hypot(double, double), fmod(double, double), cbrt(double), erf(double), frexp(double, int*);
int printf(const char*, ...);
void* memcpy(void*, const void*, size_t);
void* memset(void*, int, size_t);
}
inline float sqrt(float x) { return sqrtf(x); }
inline float fabs(float x) { return fabsf(x); }
inline float fma(float x, float y, float z) { return fmaf(x, y, z); }
inline float exp(float x) { return expf(x); }
inline float log(float x) { return logf(x); }
inline float pow(float x, float y) { return powf(x, y); }
inline float sin(float x) { return sinf(x); }
inline float cos(float x) { return cosf(x); }
inline float tanh(float x) { return tanhf(x); }
inline float floor(float x) { return floorf(x); }
inline float ceil(float x) { return ceilf(x); }
inline int abs(int x) { return x < 0 ? -x : x; }
inline float abs(float x) { return fabsf(x); }
inline double abs(double x) { return fabs(x); }
inline float rsqrtf(float x) { return (float)(1.0 / sqrt((double)x)); }
inline double rsqrt(double x) { return 1.0 / sqrt(x); }
inline float __fdividef(float x, float y) { return x / y; }
inline float __expf(float x) { return expf(x); }
inline float __logf(float x) { return logf(x); }
inline float __fmaf_rn(float x, float y, float z) { return fmaf(x, y, z); }
inline double __fma_rn(double x, double y, double z) { return fma(x, y, z); }
inline float __fadd_rn(float x, float y) { return x + y; }
inline float __fsub_rn(float x, float y) { return x - y; }
inline float __fmul_rn(float x, float y) { return x * y; }
inline float __fdiv_rn(float x, float y) { return x / y; }
inline float __fsqrt_rn(float x) { return sqrtf(x); }
inline float __frsqrt_rn(float x) { return rsqrtf(x); }
inline float __frcp_rn(float x) { return 1.0f / x; }
inline double __dadd_rn(double x, double y) { return x + y; }
inline double __dmul_rn(double x, double y) { return x * y; }
inline double __ddiv_rn(double x, double y) { return x / y; }
inline double __dsqrt_rn(double x) { return sqrt(x); }
inline bool isnan(double x) { return __builtin_isnan(x); }
inline bool isinf(double x) { return __builtin_isinf(x); }
inline bool isfinite(double x) { return __builtin_isfinite(x); }
inline bool signbit(double x) { return __builtin_signbit(x); }
inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __clz(int x) { return x ? __builtin_clz((unsigned)x) : 32; }
inline int __ffs(int x) { return __builtin_ffs(x); }
inline unsigned __umulhi(unsigned x, unsigned y) { return (unsigned)((unsigned long long)x * y >> 32); }
inline void __threadfence() { sim_fence(); }
inline void __threadfence_block() {}

#define SIM_MIN_MAX(T)                                   \
    inline T min(T x, T y) { return y < x ? y : x; }     \
    inline T max(T x, T y) { return x < y ? y : x; }
SIM_MIN_MAX(int)
SIM_MIN_MAX(unsigned)
SIM_MIN_MAX(long)
SIM_MIN_MAX(unsigned long)
SIM_MIN_MAX(long long)
SIM_MIN_MAX(unsigned long long)
inline float min(float x, float y) { return fminf(x, y); }
inline float max(float x, float y) { return fmaxf(x, y); }
inline double min(double x, double y) { return fmin(x, y); }
inline double max(double x, double y) { return fmax(x, y); }

#define SIM_BITS(name, To, From)                               \
    inline To name(From from) {                                \
        static_assert(sizeof(To) == sizeof(From), "same size"); \
        To to;                                                 \
        __builtin_memcpy(&to, &from, sizeof to);               \
        return to;                                             \
    }
SIM_BITS(__float_as_uint, unsigned, float)
SIM_BITS(__uint_as_float, float, unsigned)
SIM_BITS(__float_as_int, int, float)
SIM_BITS(__int_as_float, float, int)
SIM_BITS(__double_as_longlong, long long, double)
SIM_BITS(__longlong_as_double, double, long long)

template <class T> inline T __ldg(const T* pointer) { return *pointer; }
template <class T> inline T __ldcs(const T* pointer) { return *pointer; }
template <class T> inline void __stcs(T* pointer, T value) { *pointer = value; }

// One thread runs at a time: an atomic operation is a plain one, whose own accesses need not be reported.
#define SIM_ATOMICALLY(T, name, new_value)                                   \
    __attribute__((no_sanitize_thread)) inline T name(T* at, T value) {      \
        sim_atomic(at, sizeof(T));                                           \
        T old = *at;                                                         \
        *at = new_value;                                                     \
        return old;                                                          \
    }
#define SIM_ATOMIC(T)                       \
    SIM_ATOMICALLY(T, atomicAdd, old + value) \
    SIM_ATOMICALLY(T, atomicExch, value)
#define SIM_ATOMIC_INTEGER(T)                                                          \
    SIM_ATOMICALLY(T, atomicMin, min(old, value))                                      \
    SIM_ATOMICALLY(T, atomicMax, max(old, value))                                      \
    SIM_ATOMICALLY(T, atomicOr, old | value)                                           \
    SIM_ATOMICALLY(T, atomicAnd, old & value)                                          \
    __attribute__((no_sanitize_thread)) inline T atomicCAS(T* at, T compare, T value) { \
        sim_atomic(at, sizeof(T));                                                     \
        T old = *at;                                                                   \
        if (old == compare) *at = value;                                               \
        return old;                                                                    \
    }
SIM_ATOMIC(float)
SIM_ATOMIC(double)
SIM_ATOMIC(int)
SIM_ATOMIC(unsigned)
SIM_ATOMIC(unsigned long long)
SIM_ATOMIC_INTEGER(int)
SIM_ATOMIC_INTEGER(unsigned)
SIM_ATOMIC_INTEGER(unsigned long long)

inline void __trap() { sim_trap("__trap()"); }
#define assert(condition) ((condition) ? (void)0 : sim_trap("assertion failed: " #condition))

// One caller per kernel: template deduction yields the number, the sizes and the kinds of its parameters.
template <unsigned... I> struct SimIndices {};
template <class T> constexpr auto sim_pointers(int) -> decltype(T::pointers, 0u) { return __builtin_offsetof(T, pointers); }
template <class T> constexpr unsigned sim_pointers(...) { return 0; }
template <class T> struct SimKindOf {
    static constexpr unsigned pointers = sim_pointers<T>(0);
    static constexpr SimKind kind = pointers ? SIM_TABLE : SIM_VALUE;
};
template <class T> struct SimKindOf<T*> { static constexpr SimKind kind = SIM_POINTER; static constexpr unsigned pointers = 0; };
template <class T> struct SimKindOf<const T*> { static constexpr SimKind kind = SIM_READ_POINTER; static constexpr unsigned pointers = 0; };

template <class F, F kernel> struct SimCaller;
template <class... A, void (*kernel)(A...)> struct SimCaller<void (*)(A...), kernel> {
    static_assert((0 + ... + sizeof(A)) <= 4096, "a kernel's parameters take at most 4096 bytes");
    static constexpr SimParameter parameters[sizeof...(A) + 1] = {{sizeof(A), SimKindOf<A>::kind, SimKindOf<A>::pointers}..., {0, SIM_VALUE, 0}};
    template <unsigned... I> __attribute__((no_sanitize_thread)) static void call(void** arguments, SimIndices<I...>) {
        SimHere& here = sim_here;
        do {
            unsigned t = here.next++;
            if (here.reverse) t = here.count - 1 - t;
            here.linear = t;
            here.thread.x = t % here.block_dim.x;
            here.thread.y = t / here.block_dim.x % here.block_dim.y;
            here.thread.z = t / here.block_dim.x / here.block_dim.y;
            kernel(*(A*)arguments[I]...);
        } while (!here.resumed && here.next < here.count);
    }
    static void run(void** arguments) { call(arguments, SimIndices<__integer_pack(sizeof...(A))...>()); }
    static constexpr SimKernel describe(unsigned max_threads) { return {run, parameters, sizeof...(A), max_threads}; }
};
