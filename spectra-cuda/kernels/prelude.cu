// What every kernel builds on. The host puts `#define REAL float` (or double) in front and joins all files of this
// folder into one source: no includes, `extern "C"` kernels only, nothing that needs a header at run time.
//
// Matrices are row-major with a leading dimension. `rows`, `cols` describe the loop; where no operand has gaps between
// its rows the host passes one long row. Threads per block: 256 everywhere.

#define THREADS 256

typedef long long Index;

// How a View's numbers lie: as REAL, or 16 bits of a float in an unsigned short.
#define AS_REAL 0
#define AS_BF16 1
#define AS_FP16 2

// Where `pointers` is not 0 it is a stack of so many matrices, and `data` holds their places: the grid's third dimension counts them.
struct View {
    void *data;
    Index ld;
    int storage;
    int pointers;
};

// The matrix of this block's part of a stack.
static __device__ struct View part(struct View v) {
    if (v.pointers) v.data = ((void *const *)v.data)[blockIdx.z];
    return v;
}

union Bits {
    float number;
    unsigned int bits;
};

static __device__ float widen(int storage, unsigned short x) {
    union Bits u;
    if (storage == AS_BF16) {
        u.bits = (unsigned int)x << 16;
        return u.number;
    }
    // The exponents of fp16 end 112 before those of float; the product is exact, and normal where fp16 is not.
    u.bits = (unsigned int)(x & 0x7fff) << 13;
    u.number *= 5.192296858534828e33f;
    if ((x & 0x7c00) == 0x7c00) u.bits |= 0x7f800000;
    u.bits |= (unsigned int)(x & 0x8000) << 16;
    return u.number;
}

// To nearest, ties to even; a NaN stays one.
static __device__ unsigned short narrow(int storage, float x) {
    union Bits u;
    u.number = x;
    if (storage == AS_BF16) {
        if (x != x) return (unsigned short)((u.bits >> 16) | 0x40);
        return (unsigned short)((u.bits + 0x7fff + ((u.bits >> 16) & 1)) >> 16);
    }
    const unsigned int sign = (u.bits >> 16) & 0x8000;
    u.bits &= 0x7fffffff;
    if (x != x) return (unsigned short)(sign | 0x7e00);
    // Halfway from 65504 to the number that would come after it, and more.
    if (u.bits >= 0x477ff000) return (unsigned short)(sign | 0x7c00);
    if (u.bits < 0x38800000) {
        // Below 2^-14: a last place of one half is the unit of what is not normal, so that this sum rounds.
        u.number += 0.5f;
        return (unsigned short)(sign | (u.bits - 0x3f000000));
    }
    return (unsigned short)(sign | ((u.bits + 0xfff + ((u.bits >> 13) & 1) - 0x38000000) >> 13));
}

static __device__ REAL get(struct View v, Index row, Index col) {
    Index i = row * v.ld + col;
    if (v.storage) return (REAL)widen(v.storage, ((const unsigned short *)v.data)[i]);
    return ((const REAL *)v.data)[i];
}

static __device__ void put(struct View v, Index row, Index col, REAL x) {
    Index i = row * v.ld + col;
    if (v.storage) {
        ((unsigned short *)v.data)[i] = narrow(v.storage, (float)x);
    } else {
        ((REAL *)v.data)[i] = x;
    }
}

// Entries of a row that a thread works on at a time, `step` columns apart: as many loads are under way at once.
#define BATCH 4

// x[i] = entry (row, col + i step), 0 beyond the last column.
static __device__ void get_batch(struct View v, Index row, Index col, Index cols, int step, REAL *x) {
    Index first = row * v.ld + col;
    if (v.storage) {
#pragma unroll
        for (int i = 0; i < BATCH; i++) {
            Index at = i * step;
            x[i] = col + at < cols ? (REAL)widen(v.storage, ((const unsigned short *)v.data)[first + at]) : (REAL)0;
        }
    } else {
#pragma unroll
        for (int i = 0; i < BATCH; i++) {
            Index at = i * step;
            x[i] = col + at < cols ? ((const REAL *)v.data)[first + at] : (REAL)0;
        }
    }
}

// Entry (row, col + i step) = x[i], up to the last column.
static __device__ void put_batch(struct View v, Index row, Index col, Index cols, int step, const REAL *x) {
#pragma unroll
    for (int i = 0; i < BATCH; i++) {
        Index at = col + i * step;
        if (at < cols) put(v, row, at, x[i]);
    }
}

// ---- coefficients that depend on numbers the host does not know --------------------------------------------------

#define INSTRUCTIONS 40
#define COEFFICIENTS 4

// A parameter whose address is taken without every thread copying it.
#ifndef __CUDA_SIM__
#define PARAMETER const __grid_constant__
#else
#define PARAMETER const
#endif

#define OP_CONSTANT 0
#define OP_LOAD 1
#define OP_ADD 2
#define OP_SUB 3
#define OP_MUL 4
#define OP_DIV 5
#define OP_MIN 6
#define OP_MAX 7
#define OP_LESS 8
#define OP_SQRT 9

// One step: a number, the place of a number, or an operation on the results of earlier steps. Where the parts of a stack have numbers
// of their own they lie one after the other, and `a` of OP_LOAD is 1.
struct Instruction {
    double constant;
    const double *place;
    int op;
    short a;
    short b;
};

// coefficient i = factor[i], times the result of step out[i] if that is not negative. Where `numbers` is not 0 it has the factors, and after
// them the constants of the code in their order: a graph repeats the launch with those of the day.
struct Coefficients {
    double factor[COEFFICIENTS];
    int out[COEFFICIENTS];
    int count;
    int unused;
    const double *numbers;
    struct Instruction code[INSTRUCTIONS];
};

static __device__ double factor_of(const struct Coefficients *c, int i) { return c->numbers ? c->numbers[i] : c->factor[i]; }

// Numbers of the host, in the launch, or at `place` in device memory if that is not 0.
struct Numbers {
    double value[5];
    const double *place;
};

static __device__ double number(const struct Numbers *numbers, int i) {
    return numbers->place ? numbers->place[i] : numbers->value[i];
}

static __device__ double apply(int op, double a, double b) {
    switch (op) {
    case OP_ADD: return a + b;
    case OP_SUB: return a - b;
    case OP_MUL: return a * b;
    case OP_DIV: return a / b;
    case OP_LESS: return a < b ? 1.0 : 0.0;
    case OP_SQRT: return sqrt(a);
    default: break;
    }
    // The smaller or the larger; NaN if either is.
    if (a != a) return a;
    if (b != b) return b;
    if (op == OP_MIN) return a < b ? a : b;
    return a > b ? a : b;
}

// Runs the steps; one thread does. Writes the coefficients. Not a copy for each kernel: that takes the compiler seconds.
static __device__ __noinline__ void evaluate(const struct Coefficients *c, double *coefficient) {
    double result[INSTRUCTIONS];
    int next = COEFFICIENTS;
#pragma unroll 1
    for (int i = 0; i < c->count; i++) {
        struct Instruction step = c->code[i];
        if (step.op == OP_CONSTANT) {
            result[i] = c->numbers ? c->numbers[next++] : step.constant;
        } else if (step.op == OP_LOAD) {
            result[i] = step.place[step.a * (int)blockIdx.z];
        } else {
            result[i] = apply(step.op, result[step.a], result[step.b]);
        }
    }
    for (int i = 0; i < COEFFICIENTS; i++) {
        const double factor = factor_of(c, i);
        coefficient[i] = c->out[i] < 0 ? factor : factor * result[c->out[i]];
    }
}

// Gives every thread the coefficients in `name`. Host numbers alone need no barrier.
#define COEFFICIENTS_OF(c, name)                                                                                       \
    __shared__ double name##_shared[COEFFICIENTS];                                                                     \
    REAL name[COEFFICIENTS];                                                                                           \
    if (c.count > 0) {                                                                                                 \
        if (threadIdx.x == 0) evaluate(&c, name##_shared);                                                             \
        __syncthreads();                                                                                               \
        for (int i_ = 0; i_ < COEFFICIENTS; i_++) name[i_] = (REAL)name##_shared[i_];                                  \
    } else {                                                                                                           \
        for (int i_ = 0; i_ < COEFFICIENTS; i_++) name[i_] = (REAL)factor_of(&c, i_);                                  \
    }

// Coefficient i as a product `name * name_unit`, for what it is multiplied with one after the other. The unit is 1 unless the
// coefficient alone would lose digits below the normal range of float: the factor of a norm clip may be 1e-40.
#define FACTORS_OF(c, coefficients, i, name)                                                                           \
    const double name##_exact = c.count > 0 ? coefficients##_shared[i] : factor_of(&c, i);                                 \
    const double name##_scale = sizeof(REAL) == 4 && fabs(name##_exact) < 7.888609052210118e-31 ? 5.421010862427522e-20 : 1.0; \
    const REAL name##_unit = (REAL)name##_scale;                                                                       \
    const REAL name = (REAL)(name##_exact / name##_scale);

// ---- loops and reductions ----------------------------------------------------------------------------------------

// Every entry (row, col) of a rows x cols matrix, by all threads of the grid.
#define FOR_EACH_ENTRY(rows, cols)                                                                                     \
    for (Index row = blockIdx.y; row < rows; row += gridDim.y)                                                         \
        for (Index col = (Index)blockIdx.x * THREADS + threadIdx.x; col < cols; col += (Index)gridDim.x * THREADS)

// The same by batches of entries THREADS columns apart: (row, col) is the first one, `i` counts them.
#define FOR_EACH_BATCH(rows, cols)                                                                                     \
    for (Index row = blockIdx.y; row < rows; row += gridDim.y)                                                         \
        for (Index col = (Index)blockIdx.x * (THREADS * BATCH) + threadIdx.x; col < cols;                              \
             col += (Index)gridDim.x * (THREADS * BATCH))

#define IN_BATCH _Pragma("unroll") for (int i = 0; i < BATCH; i++)

#define REDUCE_SUM 0
#define REDUCE_MAX 1

// A NaN wins.
static __device__ double larger(double a, double b) { return (b != b || b > a) ? b : a; }

static __device__ double join(int how, double a, double b) { return how == REDUCE_SUM ? a + b : larger(a, b); }

#define WARP 32

// Every lane gets the sum.
static __device__ double sum_of_warp(double x) {
    for (int step = 16; step > 0; step /= 2) x += __shfl_xor_sync(0xffffffffu, x, step);
    return x;
}

// All 256 threads give a value; thread 0 gets the result, in an order that depends on nothing else.
static __device__ double reduce_block(int how, double value, double *shared) {
    shared[threadIdx.x] = value;
    __syncthreads();
    for (int half = THREADS / 2; half > 0; half /= 2) {
        if (threadIdx.x < half) shared[threadIdx.x] = join(how, shared[threadIdx.x], shared[threadIdx.x + half]);
        __syncthreads();
    }
    double result = shared[0];
    __syncthreads();
    return result;
}

// Whether this block is the last of `blocks` to come here; everything that the others wrote before is then visible.
// Leaves the counter at zero for the next launch.
static __device__ bool last_block(unsigned int *counter, unsigned int blocks) {
    __shared__ int last;
    __threadfence();
    __syncthreads();
    if (threadIdx.x == 0) {
        last = atomicAdd(counter, 1u) == blocks - 1;
        if (last) *counter = 0;
    }
    __syncthreads();
    __threadfence();
    return last != 0;
}

// Joins the values of all blocks in a fixed order: each leaves its own in `partial`, the last one adds them up.
// Thread 0 of the last block writes `*result`.
static __device__ void reduce_grid(int how, double value, double *shared, double *partial, unsigned int block,
                                   unsigned int blocks, unsigned int *counter, double *result) {
    double own = reduce_block(how, value, shared);
    if (threadIdx.x == 0) partial[block] = own;
    if (!last_block(counter, blocks)) return;
    double sum = 0.0;
    for (unsigned int i = threadIdx.x; i < blocks; i += THREADS) sum = join(how, sum, ((volatile double *)partial)[i]);
    sum = reduce_block(how, sum, shared);
    if (threadIdx.x == 0) *result = sum;
}

// Before a reduction: each part of a stack has the partial values of its `blocks`, a counter and a result of its own.
#define FOR_ITS_PART(blocks) partial += (Index)blockIdx.z * (blocks), counter += blockIdx.z, result += blockIdx.z
