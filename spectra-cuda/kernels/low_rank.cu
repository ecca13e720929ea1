// out = beta out + alpha (x - left right^T) in one pass: left is rows x k, right is cols x k. A block makes tiles, a thread a
// patch of each: PATCH_ROWS rows and four columns that follow each other. One read of x, one read and one write of out.

#define DEPTH 32
#define PATCH_ROWS (sizeof(REAL) == 4 ? 8 : 4)
#define TILE_ROWS (16 * PATCH_ROWS)
#define TILE_COLS 64
// Blocks on a multiprocessor, for the registers: they fetch and compute in turns.
#define RESIDENT (sizeof(REAL) == 4 ? 3 : 2)
// Rows of a patch that are loaded at a time.
#define TOGETHER 4
// From one p to the next in a piece: whole 16-byte words, and few banks are met twice.
#define PITCH(tile) ((tile) + 4)

// Four entries of a row, at once where they lie as the hardware wants them.
struct __align__(16) Quad {
    REAL x[4];
};

static __device__ bool has_quads(struct View v) { return !v.storage && v.ld % 4 == 0 && (Word)v.data % 16 == 0; }

static __device__ struct Quad *quad_at(struct View v, Index row, Index col) {
    return (struct Quad *)((REAL *)v.data + row * v.ld + col);
}

// piece[p][i] = entry (first + i, p0 + p) of a factor, 0 outside; `tile` of them for each p.
static __device__ void load_piece(struct View factor, Index rows, Index k, Index first, Index p0, int tile, REAL *piece) {
    int p = threadIdx.x % 8, i = threadIdx.x / 8;
    REAL x[TILE_ROWS / (THREADS / 8)][BATCH];
#pragma unroll
    for (int j = 0; j < tile / (THREADS / 8); j++) {
        Index row = first + i + j * (THREADS / 8);
        get_batch(factor, row, p0 + p, row < rows ? k : 0, DEPTH / BATCH, x[j]);
    }
#pragma unroll
    for (int j = 0; j < tile / (THREADS / 8); j++) {
#pragma unroll
        for (int q = 0; q < BATCH; q++) {
            piece[(p + q * (DEPTH / BATCH)) * PITCH(tile) + i + j * (THREADS / 8)] = x[j][q];
        }
    }
}

extern "C" __global__ void __launch_bounds__(THREADS, RESIDENT) low_rank_add(struct View out, struct View x_view,
                                                                             struct View left, struct View right,
                                                                             Index rows, Index cols, Index k, int keep,
                                                                             PARAMETER struct Coefficients c) {
    COEFFICIENTS_OF(c, coefficient)
    out = part(out), x_view = part(x_view), left = part(left), right = part(right);
    __shared__ __align__(16) REAL a[DEPTH * PITCH(TILE_ROWS)];
    __shared__ __align__(16) REAL b[DEPTH * PITCH(TILE_COLS)];
    int x0 = threadIdx.x % 16 * 4, y0 = threadIdx.x / 16 * PATCH_ROWS;
    bool quads = has_quads(x_view) && has_quads(out);
    Index row_tiles = (rows + TILE_ROWS - 1) / TILE_ROWS, col_tiles = (cols + TILE_COLS - 1) / TILE_COLS;
    for (Index tile = blockIdx.x; tile < row_tiles * col_tiles; tile += gridDim.x) {
        Index row0 = tile / col_tiles * TILE_ROWS, col0 = tile % col_tiles * TILE_COLS;
        REAL sum[PATCH_ROWS][4];
#pragma unroll
        for (int i = 0; i < PATCH_ROWS; i++)
#pragma unroll
            for (int j = 0; j < 4; j++) sum[i][j] = 0;
        for (Index p0 = 0; p0 < k; p0 += DEPTH) {
            load_piece(left, rows, k, row0, p0, TILE_ROWS, a);
            load_piece(right, cols, k, col0, p0, TILE_COLS, b);
            __syncthreads();
#pragma unroll 8
            for (int p = 0; p < DEPTH; p++) {
                REAL u[PATCH_ROWS];
#pragma unroll
                for (int i = 0; i < PATCH_ROWS; i++) u[i] = a[p * PITCH(TILE_ROWS) + y0 + i];
                struct Quad v = *(const struct Quad *)(b + p * PITCH(TILE_COLS) + x0);
#pragma unroll
                for (int i = 0; i < PATCH_ROWS; i++)
#pragma unroll
                    for (int j = 0; j < 4; j++) sum[i][j] += u[i] * v.x[j];
            }
            __syncthreads();
        }
        Index row = row0 + y0, col = col0 + x0;
        if (quads && row0 + TILE_ROWS <= rows && col0 + TILE_COLS <= cols) {
#pragma unroll
            for (int part = 0; part < PATCH_ROWS; part += TOGETHER) {
                struct Quad x[TOGETHER], old[TOGETHER];
#pragma unroll
                for (int i = 0; i < TOGETHER; i++) {
                    x[i] = *quad_at(x_view, row + part + i, col);
                    if (keep) old[i] = *quad_at(out, row + part + i, col);
                }
#pragma unroll
                for (int i = 0; i < TOGETHER; i++) {
#pragma unroll
                    for (int j = 0; j < 4; j++) {
                        REAL term = coefficient[1] * (x[i].x[j] - sum[part + i][j]);
                        x[i].x[j] = keep ? coefficient[0] * old[i].x[j] + term : term;
                    }
                    *quad_at(out, row + part + i, col) = x[i];
                }
            }
            continue;
        }
#pragma unroll
        for (int i = 0; i < PATCH_ROWS; i++) {
            REAL x[4], old[4];
            Index end = row + i < rows ? cols : 0;
            get_batch(x_view, row + i, col, end, 1, x);
            if (keep) get_batch(out, row + i, col, end, 1, old);
#pragma unroll
            for (int j = 0; j < 4; j++) {
                REAL term = coefficient[1] * (x[j] - sum[i][j]);
                x[j] = keep ? coefficient[0] * old[j] + term : term;
            }
            put_batch(out, row + i, col, end, 1, x);
        }
    }
}
