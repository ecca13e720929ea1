// The passes of the power iteration that are no products.

typedef unsigned long long Word;

// SplitMix64's output function of a counter, as in spectra-core's linalg/random.rs.
static __device__ Word mix(Word counter) {
    Word z = counter + 0x9e3779b97f4a7c15ull;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
}

// Uniform on [-1, 1), 24 bits: exact in float and in double.
static __device__ REAL uniform(Word seed, Index row, Index col) {
    Word bits = mix(mix(seed ^ mix((Word)row)) ^ (Word)col) >> 40;
    return (REAL)((double)bits / 8388608.0 - 1.0);
}

#define COLUMNS 8

// Eight columns, `group * 8` and on, of an n x k matrix: those that are zero get random numbers.
static __device__ void seed_columns(struct View v, Index n, Index k, Word seed, Index group) {
    __shared__ int alive[COLUMNS];
    if (threadIdx.x < COLUMNS) alive[threadIdx.x] = 0;
    __syncthreads();
    Index own = threadIdx.x % COLUMNS, col = group * COLUMNS + own;
    bool found = false;
    if (col < k) {
        for (Index row = threadIdx.x / COLUMNS; row < n && !found; row += THREADS / COLUMNS) {
            found = get(v, row, col) != (REAL)0;
        }
    }
    if (found) atomicOr(&alive[own], 1);
    __syncthreads();
    if (col < k && !alive[own]) {
        for (Index row = threadIdx.x / COLUMNS; row < n; row += THREADS / COLUMNS) {
            put(v, row, col, uniform(seed, row, col));
        }
    }
}

extern "C" __global__ void seed_zero_columns(struct View v, Index n, Index k, Word seed) {
    seed_columns(part(v), n, k, seed, blockIdx.x);
}

// m = mu m + factor g (unless `update` is 0) and ||m||_F^2, by the first `blocks` blocks of the one-dimensional grid
// or its first grid_x x grid_y ones; the others seed the zero columns of v. Coefficients: mu, factor. Where `keep` is 0 the
// old m is not read.
extern "C" __global__ void momentum(struct View m, struct View g, Index rows, Index cols, int update,
                                    int keep, unsigned int grid_x, unsigned int grid_y, struct View v, Index n, Index k,
                                    Word seed, double *partial, unsigned int *counter, double *result,
                                    PARAMETER struct Coefficients c) {
    unsigned int block = blockIdx.x, blocks = grid_x * grid_y;
    if (block >= blocks) {
        seed_columns(part(v), n, k, seed, block - blocks);
        return;
    }
    COEFFICIENTS_OF(c, coefficient)
    FACTORS_OF(c, coefficient, 1, factor)
    m = part(m), g = part(g);
    __shared__ double shared[THREADS];
    double sum = 0.0;
    REAL x[BATCH], y[BATCH];
    for (Index row = block / grid_x; row < rows; row += grid_y) {
        for (Index col = (Index)(block % grid_x) * (THREADS * BATCH) + threadIdx.x; col < cols;
             col += (Index)grid_x * (THREADS * BATCH)) {
            if (keep) get_batch(m, row, col, cols, THREADS, x);
            if (update) {
                get_batch(g, row, col, cols, THREADS, y);
                IN_BATCH {
                    REAL term = factor * (factor_unit * y[i]);
                    x[i] = keep ? coefficient[0] * x[i] + term : term;
                }
                put_batch(m, row, col, cols, THREADS, x);
            }
            IN_BATCH sum += (double)x[i] * (double)x[i];
        }
    }
    FOR_ITS_PART(blocks);
    reduce_grid(REDUCE_SUM, sum, shared, partial, block, blocks, counter, result);
}

#define FOR_EACH_ROW_BATCH(n) for (Index row = threadIdx.x; row < n; row += THREADS * BATCH)

// V = W diag(1 / ||w_i||), zero where w_i is, a column for each block. Writes ||W||_F^2 and ||V||_F^2.
extern "C" __global__ void normalize_columns(struct View w, struct View v, Index n, double *partial,
                                             unsigned int *counter, double *w_squared, double *v_squared) {
    __shared__ double shared[THREADS];
    w = part(w), v = part(v);
    partial += (Index)blockIdx.z * 2 * gridDim.x, counter += blockIdx.z;
    Index col = blockIdx.x;
    double sum = 0.0, squares = 0.0;
    REAL x[BATCH];
    FOR_EACH_ROW_BATCH(n) {
        IN_BATCH x[i] = row + i * THREADS < n ? get(w, row + i * THREADS, col) : (REAL)0;
        IN_BATCH sum += (double)x[i] * (double)x[i];
    }
    sum = reduce_block(REDUCE_SUM, sum, shared);
    double inverse = sum == 0.0 ? 0.0 : 1.0 / sqrt(sum);
    FOR_EACH_ROW_BATCH(n) {
        IN_BATCH x[i] = row + i * THREADS < n ? get(w, row + i * THREADS, col) : (REAL)0;
        IN_BATCH {
            x[i] = (REAL)((double)x[i] * inverse);
            if (row + i * THREADS < n) put(v, row + i * THREADS, col, x[i]);
            squares += (double)x[i] * (double)x[i];
        }
    }
    squares = reduce_block(REDUCE_SUM, squares, shared);
    if (threadIdx.x == 0) {
        partial[2 * col] = sum;
        partial[2 * col + 1] = squares;
    }
    if (!last_block(counter, gridDim.x)) return;
    sum = squares = 0.0;
    for (unsigned int i = threadIdx.x; i < gridDim.x; i += THREADS) {
        sum += ((volatile double *)partial)[2 * i];
        squares += ((volatile double *)partial)[2 * i + 1];
    }
    sum = reduce_block(REDUCE_SUM, sum, shared);
    squares = reduce_block(REDUCE_SUM, squares, shared);
    if (threadIdx.x == 0) {
        w_squared[blockIdx.z] = sum;
        v_squared[blockIdx.z] = squares;
    }
}
