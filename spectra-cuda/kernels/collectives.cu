// What the ranks of a group have sent, put together, and what they are to get, taken apart.

// out = factor (x_0 + x_1 + ...), in the order of the ranks. x_r: rows x cols without gaps, `stride` entries after that of the rank
// before; that of rank `rank` lies at `own`, which may be `out`.
extern "C" __global__ void rank_sum(struct View out, const REAL *x, const REAL *own, Index stride, int ranks, int rank,
                                    Index rows, Index cols, double factor) {
    FOR_EACH_ENTRY(rows, cols) {
        Index i = row * cols + col;
        REAL sum = rank == 0 ? own[i] : x[i];
        for (int r = 1; r < ranks; r++) sum += r == rank ? own[i] : x[r * stride + i];
        put(out, row, col, (REAL)factor * sum);
    }
}

// *out = the sum, in the order of the ranks, or the largest of x[0], x[stride], ...; NaN if one is.
extern "C" __global__ void rank_number(double *out, const double *x, Index stride, int ranks, int how) {
    if (blockIdx.x != 0 || threadIdx.x != 0) return;
    double y = x[0];
    for (int r = 1; r < ranks; r++) y = join(how, y, x[r * stride]);
    *out = y;
}

// Rank r has columns cols r / ranks to cols (r + 1) / ranks, rounded down. In `parts` they are matrices without gaps, one after the
// other. Writes the parts, or of the parts the whole.
extern "C" __global__ void by_columns(struct View whole, REAL *parts, Index rows, Index cols, int ranks, int to_whole) {
    FOR_EACH_ENTRY(rows, cols) {
        Index rank = ((col + 1) * ranks - 1) / cols;
        Index first = cols * rank / ranks, width = cols * (rank + 1) / ranks - first;
        REAL *at = parts + rows * first + row * width + (col - first);
        if (to_whole) {
            put(whole, row, col, *at);
        } else {
            *at = get(whole, row, col);
        }
    }
}
