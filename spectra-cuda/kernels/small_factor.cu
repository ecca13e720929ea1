// Factors of a k x k Gram matrix, in double by one block, without a trip to the host: spectra-core's linalg/small.rs
// says what they are. `scratch`: 2 k^2 + k numbers.

// length_j = sqrt(C_jj), then the upper Cholesky factor of C_ij / (length_i length_j) in c, zeros below the diagonal.
// A column with at most `dependent` of its squared length left after the earlier ones gets a zero row.
static __device__ void scaled_cholesky(struct View gram, Index k, double dependent, double *c, double *length) {
    for (Index j = threadIdx.x; j < k; j += THREADS) {
        double square = (double)get(gram, j, j);
        length[j] = square > 0.0 ? sqrt(square) : 0.0;
    }
    __syncthreads();
    for (Index i = threadIdx.x; i < k * k; i += THREADS) {
        Index row = i / k, col = i % k;
        double scale = (length[row] > 0.0 ? 1.0 / length[row] : 0.0) * (length[col] > 0.0 ? 1.0 / length[col] : 0.0);
        double x = (double)get(gram, row, col) * scale;
        c[i] = row > col ? 0.0 : (row == col && length[row] > 0.0 ? 1.0 : x);
    }
    __syncthreads();
    for (Index j = 0; j < k; j++) {
        double pivot = c[j * k + j];
        // Everyone has the pivot before its place is written.
        __syncthreads();
        // NaN is alive: it must not be mistaken for a dependent column.
        bool dead = pivot <= dependent;
        double root = sqrt(pivot);
        for (Index i = j + threadIdx.x; i < k; i += THREADS) {
            c[j * k + i] = dead ? 0.0 : (i == j ? root : c[j * k + i] / root);
        }
        __syncthreads();
        Index left = k - j - 1;
        for (Index i = threadIdx.x; i < left * left; i += THREADS) {
            Index row = j + 1 + i / left, col = j + 1 + i % left;
            if (row <= col) c[row * k + col] -= c[j * k + row] * c[j * k + col];
        }
        __syncthreads();
    }
}

// out = diag(1 / length) R^-1 for the scaled factor R in c, zero columns for dead ones.
static __device__ void write_inverse(struct View out, Index k, const double *c, const double *length, double *inverse) {
    // The rows of the inverse do not depend on each other.
    for (Index i = threadIdx.x; i < k; i += THREADS) {
        double scale = length[i] > 0.0 ? 1.0 / length[i] : 0.0;
        double *row = inverse + i * k;
        for (Index j = 0; j < k; j++) {
            double diagonal = c[j * k + j], sum = i == j ? 1.0 : 0.0;
            for (Index p = i; p < j; p++) sum -= row[p] * c[p * k + j];
            row[j] = (j < i || diagonal == 0.0) ? 0.0 : sum / diagonal;
        }
        for (Index j = 0; j < k; j++) put(out, i, j, (REAL)(row[j] * scale));
    }
}

// R^-1 of C = R^T R, upper triangular; zero columns for dead ones.
extern "C" __global__ void cholesky_inverse(struct View out, struct View gram, Index k, double dependent,
                                            double *scratch) {
    double *c = scratch, *inverse = scratch + k * k, *length = scratch + 2 * k * k;
    scaled_cholesky(gram, k, dependent, c, length);
    write_inverse(out, k, c, length, inverse);
}

// diag(1 / sqrt(C_jj)), 0 where C_jj is 0.
extern "C" __global__ void column_normalizer(struct View out, struct View gram, Index k) {
    FOR_EACH_ENTRY(k, k) {
        double square = row == col ? (double)get(gram, row, row) : 0.0;
        put(out, row, col, (REAL)(square > 0.0 ? 1.0 / sqrt(square) : 0.0));
    }
}

static __device__ double sum_of_warp(double x) {
    for (int step = 16; step > 0; step /= 2) x += __shfl_xor_sync(0xffffffffu, x, step);
    return x;
}

#define SWEEPS 30
#define WARP 32

// Classical Gram-Schmidt with re-orthogonalisation, in double: spectra-core's linalg/gram_schmidt.rs. A column of which less
// than 4 eps is left becomes zero. `work`: rows k numbers; `projection`: k.
static __device__ void gram_schmidt(struct View p, Index rows, Index k, double eps, double *work, double *projection) {
    __shared__ double shared[THREADS];
    for (Index i = threadIdx.x; i < rows * k; i += THREADS) work[i % k * rows + i / k] = (double)get(p, i / k, i % k);
    __syncthreads();
    for (Index j = 0; j < k; j++) {
        double *column = work + j * rows;
        double scale = 0.0, sum = 0.0;
        for (Index i = threadIdx.x; i < rows; i += THREADS) scale = larger(scale, fabs(column[i]));
        scale = reduce_block(REDUCE_MAX, scale, shared);
        if (scale == 0.0) continue;
        for (Index i = threadIdx.x; i < rows; i += THREADS) {
            column[i] /= scale;
            sum += column[i] * column[i];
        }
        double before = sqrt(reduce_block(REDUCE_SUM, sum, shared));
        for (int pass = 0; pass < 2; pass++) {
            for (Index q = threadIdx.x / WARP; q < j; q += THREADS / WARP) {
                sum = 0.0;
                for (Index i = threadIdx.x % WARP; i < rows; i += WARP) sum += work[q * rows + i] * column[i];
                sum = sum_of_warp(sum);
                if (threadIdx.x % WARP == 0) projection[q] = sum;
            }
            __syncthreads();
            for (Index i = threadIdx.x; i < rows; i += THREADS) {
                double x = column[i];
                for (Index q = 0; q < j; q++) x -= projection[q] * work[q * rows + i];
                column[i] = x;
            }
            __syncthreads();
        }
        sum = 0.0;
        for (Index i = threadIdx.x; i < rows; i += THREADS) sum += column[i] * column[i];
        double after = sqrt(reduce_block(REDUCE_SUM, sum, shared));
        double inverse = after <= 4.0 * eps * before ? 0.0 : 1.0 / after;
        for (Index i = threadIdx.x; i < rows; i += THREADS) column[i] *= inverse;
        __syncthreads();
    }
    for (Index i = threadIdx.x; i < rows * k; i += THREADS) put(p, i / k, i % k, (REAL)work[i % k * rows + i / k]);
}

// What the first round of Cholesky QR multiplies P (rows x k) with: R^-1 of its Gram matrix. Where that matrix cannot be
// trusted, because a squared sine between columns is below 1 / `limit` or its entries have left the range, P is
// orthonormalised here and now, slowly, and the factor is the identity. `scratch`: 2 k^2 + k + rows k numbers.
extern "C" __global__ void orthonormal_factor(struct View out, struct View gram, struct View p, Index rows, Index k,
                                              double eps, double dependent, double limit, double *scratch) {
    __shared__ int hard;
    double *c = scratch, *inverse = scratch + k * k, *length = scratch + 2 * k * k;
    scaled_cholesky(gram, k, dependent, c, length);
    if (threadIdx.x == 0) {
        hard = 0;
        // Also where a pivot is no number.
        for (Index j = 0; j < k; j++) hard |= !(c[j * k + j] * c[j * k + j] * limit >= 1.0);
    }
    __syncthreads();
    if (!hard) {
        write_inverse(out, k, c, length, inverse);
        return;
    }
    gram_schmidt(p, rows, k, eps, length + k, length);
    for (Index i = threadIdx.x; i < k * k; i += THREADS) put(out, i / k, i % k, (REAL)(i / k == i % k));
}

// The orthogonal B that makes B^T C B diagonal and decreasing: one-sided Jacobi rotations (Hestenes 1958) of the columns
// of the scaled Cholesky factor. In each round of a sweep all pairs are disjoint (a round-robin tournament), one for a
// warp.
extern "C" __global__ void diagonalizer(struct View out, struct View gram, Index k, double dependent, double *scratch) {
    __shared__ int rotated;
    double *a = scratch, *b = scratch + k * k, *length = scratch + 2 * k * k;
    scaled_cholesky(gram, k, dependent, a, length);
    for (Index i = threadIdx.x; i < k * k; i += THREADS) {
        a[i] *= length[i % k];
        b[i] = i / k == i % k ? 1.0 : 0.0;
    }
    Index lane = threadIdx.x % WARP, players = k + k % 2;
    for (int sweep = 0; sweep < SWEEPS; sweep++) {
        __syncthreads();
        if (threadIdx.x == 0) rotated = 0;
        __syncthreads();
        for (Index round = 0; round + 1 < players; round++) {
            for (Index pair = threadIdx.x / WARP; pair < players / 2; pair += THREADS / WARP) {
                // Player players - 1 stays, the others walk round the table.
                Index turn = players - 1;
                Index p = pair == 0 ? turn : (round + pair) % turn;
                Index q = (round + turn - pair) % turn;
                if (p > q) {
                    Index swap = p;
                    p = q;
                    q = swap;
                }
                if (q >= k) continue;
                double pp = 0.0, qq = 0.0, pq = 0.0;
                for (Index i = lane; i < k; i += WARP) {
                    double x = a[i * k + p], y = a[i * k + q];
                    pp += x * x;
                    qq += y * y;
                    pq += x * y;
                }
                pp = sum_of_warp(pp);
                qq = sum_of_warp(qq);
                pq = sum_of_warp(pq);
                const double eps = 2.220446049250313e-16;
                if (pq * pq <= eps * eps * pp * qq || pq != pq) continue;
                double zeta = (qq - pp) / (2.0 * pq), sign = zeta < 0.0 ? -1.0 : 1.0;
                double t = sign / (sign * zeta + sqrt(1.0 + zeta * zeta));
                double cosine = 1.0 / sqrt(1.0 + t * t), sine = cosine * t;
                for (Index i = lane; i < k; i += WARP) {
                    double x = a[i * k + p], y = a[i * k + q];
                    a[i * k + p] = cosine * x - sine * y;
                    a[i * k + q] = sine * x + cosine * y;
                    x = b[i * k + p];
                    y = b[i * k + q];
                    b[i * k + p] = cosine * x - sine * y;
                    b[i * k + q] = sine * x + cosine * y;
                }
                if (lane == 0) atomicOr(&rotated, 1);
            }
            __syncthreads();
        }
        if (!rotated) break;
    }
    __syncthreads();
    for (Index j = threadIdx.x; j < k; j += THREADS) {
        double square = 0.0;
        for (Index i = 0; i < k; i++) square += a[i * k + j] * a[i * k + j];
        length[j] = square;
    }
    __syncthreads();
    // Column j goes to the place that as many longer ones (or equal ones before it) leave.
    for (Index j = threadIdx.x; j < k; j += THREADS) {
        Index place = 0;
        for (Index i = 0; i < k; i++) place += length[i] > length[j] || (length[i] == length[j] && i < j);
        for (Index i = 0; i < k; i++) put(out, i, place, (REAL)b[i * k + j]);
    }
}
