// out = beta out + alpha (x - left right^T) in one pass: left is rows x k, right is cols x k. Each block makes a
// 64 x 64 tile, each thread 4 x 4 entries of it, 16 apart. One read of x, one read and one write of out.

#define TILE 64
#define DEPTH 16

extern "C" __global__ void low_rank_add(struct View out, struct View x, struct View left, struct View right, Index rows,
                                        Index cols, Index k, int keep, PARAMETER struct Coefficients c) {
    COEFFICIENTS_OF(c, coefficient)
    __shared__ REAL a[TILE][DEPTH + 1];
    __shared__ REAL b[TILE][DEPTH + 1];
    int tx = threadIdx.x % 16, ty = threadIdx.x / 16;
    Index row_tiles = (rows + TILE - 1) / TILE, col_tiles = (cols + TILE - 1) / TILE;
    for (Index tile = blockIdx.x; tile < row_tiles * col_tiles; tile += gridDim.x) {
        Index row0 = tile / col_tiles * TILE, col0 = tile % col_tiles * TILE;
        REAL sum[4][4];
#pragma unroll
        for (int i = 0; i < 4; i++)
#pragma unroll
            for (int j = 0; j < 4; j++) sum[i][j] = 0;
        for (Index p0 = 0; p0 < k; p0 += DEPTH) {
            for (int i = ty; i < TILE; i += 16) {
                Index p = p0 + tx;
                a[i][tx] = (row0 + i < rows && p < k) ? get(left, row0 + i, p) : (REAL)0;
                b[i][tx] = (col0 + i < cols && p < k) ? get(right, col0 + i, p) : (REAL)0;
            }
            __syncthreads();
            for (int p = 0; p < DEPTH; p++) {
#pragma unroll
                for (int i = 0; i < 4; i++)
#pragma unroll
                    for (int j = 0; j < 4; j++) sum[i][j] += a[ty + 16 * i][p] * b[tx + 16 * j][p];
            }
            __syncthreads();
        }
#pragma unroll
        for (int i = 0; i < 4; i++) {
#pragma unroll
            for (int j = 0; j < 4; j++) {
                Index row = row0 + ty + 16 * i, col = col0 + tx + 16 * j;
                if (row >= rows || col >= cols) continue;
                REAL term = coefficient[1] * (get(x, row, col) - sum[i][j]);
                put(out, row, col, keep ? coefficient[0] * get(out, row, col) + term : term);
            }
        }
    }
}
