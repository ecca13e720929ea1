// Factors of a k x k Gram matrix, in double by one block, without a trip to the host: spectra-core's linalg/small.rs
// says what they are.

// Calls a function in working memory for `squares` k x k arrays and k numbers: shared, or `scratch` where a block has too little of
// that; a piece of it for each part of a stack. Rows are `stride` numbers long, an odd number: a warp that reads a column meets no
// bank twice.
#define IN_WORKING_MEMORY(squares, function, ...)                                                                      \
    extern __shared__ double fast[];                                                                                   \
    if (scratch) {                                                                                                     \
        function(__VA_ARGS__, scratch + (Index)blockIdx.z * ((squares) * k * stride + k));                             \
    } else {                                                                                                           \
        function(__VA_ARGS__, fast);                                                                                   \
    }

// Rows that a warp eliminates from at a time.
#define ELIMINATED 4

// Every entry of a k x k array: a row for a warp. Not unrolled: this is run once, and most of its time is that of fetching it.
#define FOR_EACH_ROW_BY_WARPS(k) _Pragma("unroll 1") for (int row = threadIdx.x / WARP; row < k; row += THREADS / WARP)
#define FOR_EACH_COL_BY_LANES(k) _Pragma("unroll 1") for (int col = threadIdx.x % WARP; col < k; col += WARP)

// The scaled Gram matrix C_ij / (length_i length_j), length_j = sqrt(C_jj), as C = L D L^T: in one array L^-1 below the
// diagonal, D on it, and D L^T above. Gaussian elimination, on the identity too: a barrier for a column. One with at most
// `dependent` of its squared length left after the earlier ones is dead: nothing is eliminated with it. In `scale`: 1 / length,
// 0 for zero columns.
static __device__ void eliminate(struct View gram, int k, int stride, double dependent, double *a, double *scale) {
#pragma unroll 1
    for (int j = threadIdx.x; j < k; j += THREADS) {
        double square = (double)get(gram, j, j);
        scale[j] = square > 0.0 ? 1.0 / sqrt(square) : 0.0;
    }
    __syncthreads();
    FOR_EACH_ROW_BY_WARPS(k) {
        FOR_EACH_COL_BY_LANES(k) {
            // In this order: the product of two scales may leave the range.
            double x = (double)get(gram, row, col) * scale[row] * scale[col];
            a[row * stride + col] = row == col && scale[row] > 0.0 ? 1.0 : x;
        }
    }
    __syncthreads();
#pragma unroll 1
    for (int j = 0; j < k; j++) {
        const double *pivot = a + j * stride;
        // NaN is alive: it must not be mistaken for a dependent column.
        bool dead = pivot[j] <= dependent;
        double inverse = dead ? 0.0 : 1.0 / pivot[j];
#pragma unroll 1
        for (int row = j + 1 + threadIdx.x / WARP; row < k; row += ELIMINATED * (THREADS / WARP)) {
            FOR_EACH_COL_BY_LANES(k) {
                double x[ELIMINATED], factor[ELIMINATED], along = dead ? 0.0 : pivot[col];
#pragma unroll
                for (int i = 0; i < ELIMINATED; i++) {
                    int at = row + i * (THREADS / WARP);
                    x[i] = at < k ? a[at * stride + col] : 0.0;
                    factor[i] = at < k && !dead ? pivot[at] * inverse : 0.0;
                }
#pragma unroll
                for (int i = 0; i < ELIMINATED; i++) {
                    int at = row + i * (THREADS / WARP);
                    // What is between column j and the diagonal is not needed, and is overwritten in its turn.
                    if (at < k) a[at * stride + col] = col == j ? 0.0 - factor[i] : x[i] - factor[i] * along;
                }
            }
        }
        __syncthreads();
    }
}

// D becomes D^-1/2, 0 for dead columns.
static __device__ void invert_roots(int k, int stride, double dependent, double *a) {
#pragma unroll 1
    for (int j = threadIdx.x; j < k; j += THREADS) {
        double pivot = a[j * stride + j];
        a[j * stride + j] = pivot <= dependent ? 0.0 : 1.0 / sqrt(pivot);
    }
    __syncthreads();
}

// R^-1 = diag(scale) L^-T D^-1/2, zero columns for dead ones.
static __device__ void write_inverse(struct View out, int k, int stride, double dependent, double *a, const double *scale) {
    invert_roots(k, stride, dependent, a);
    FOR_EACH_ROW_BY_WARPS(k) {
        FOR_EACH_COL_BY_LANES(k) {
            double root = a[col * stride + col], x = row == col ? 1.0 : a[col * stride + row];
            put(out, row, col, row > col || root == 0.0 ? (REAL)0 : (REAL)(x * root * scale[row]));
        }
    }
}

static __device__ void invert(struct View out, struct View gram, int k, int stride, double dependent, double *scale) {
    double *a = scale + k;
    eliminate(gram, k, stride, dependent, a, scale);
    write_inverse(out, k, stride, dependent, a, scale);
}

// R^-1 of C = R^T R, upper triangular; zero columns for dead ones. Working memory: k stride + k numbers.
extern "C" __global__ void cholesky_inverse(struct View out, struct View gram, int k, int stride, double dependent,
                                            double *scratch) {
    IN_WORKING_MEMORY(1, invert, part(out), part(gram), k, stride, dependent)
}

// diag(1 / sqrt(C_jj)), 0 where C_jj is 0.
extern "C" __global__ void column_normalizer(struct View out, struct View gram, Index k) {
    out = part(out), gram = part(gram);
    FOR_EACH_ENTRY(k, k) {
        double square = row == col ? (double)get(gram, row, row) : 0.0;
        put(out, row, col, (REAL)(square > 0.0 ? 1.0 / sqrt(square) : 0.0));
    }
}

#define SWEEPS 30

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

// As `invert`; false where the Gram matrix cannot be trusted: a squared sine between columns is below 1 / `limit`, or its
// entries have left the range.
static __device__ void invert_if_trusted(struct View out, struct View gram, int k, int stride, double dependent,
                                         double limit, int *trusted, double *scale) {
    double *a = scale + k;
    if (threadIdx.x == 0) *trusted = 1;
    eliminate(gram, k, stride, dependent, a, scale);
#pragma unroll 1
    for (int j = threadIdx.x; j < k; j += THREADS) {
        double pivot = a[j * stride + j];
        // Also where a pivot is no number.
        if (pivot <= dependent || !(pivot * limit >= 1.0)) atomicAnd(trusted, 0);
    }
    __syncthreads();
    if (*trusted) write_inverse(out, k, stride, dependent, a, scale);
}

// What the first round of Cholesky QR multiplies P (rows x k) with: R^-1 of its Gram matrix. Where that matrix cannot be
// trusted, P is orthonormalised here and now, slowly, and the factor is the identity. Working memory: as for
// cholesky_inverse, and rows k + k numbers in `work`.
extern "C" __global__ void orthonormal_factor(struct View out, struct View gram, struct View p, Index rows, int k,
                                              int stride, double eps, double dependent, double limit, double *work,
                                              double *scratch) {
    __shared__ int trusted;
    out = part(out), p = part(p), work += (Index)blockIdx.z * (rows * k + k);
    IN_WORKING_MEMORY(1, invert_if_trusted, out, part(gram), k, stride, dependent, limit, &trusted)
    if (trusted) return;
    gram_schmidt(p, rows, k, eps, work + k, work);
    FOR_EACH_ROW_BY_WARPS(k) FOR_EACH_COL_BY_LANES(k) put(out, row, col, (REAL)(row == col));
}

// The orthogonal B that makes B^T C B diagonal and decreasing: one-sided Jacobi rotations (Hestenes 1958) of the columns
// of the scaled Cholesky factor. In each round of a sweep all pairs are disjoint (a round-robin tournament), one for a
// warp.
static __device__ void diagonalize(struct View out, struct View gram, int k, int stride, double dependent,
                                   double *scale) {
    __shared__ int rotated;
    double *a = scale + k, *b = a + k * stride;
    eliminate(gram, k, stride, dependent, a, scale);
    invert_roots(k, stride, dependent, a);
    // R diag(length), R = D^-1/2 (D L^T).
    FOR_EACH_ROW_BY_WARPS(k) {
        double root = a[row * stride + row];
        // Everyone has it before its place is written.
        __syncwarp();
        FOR_EACH_COL_BY_LANES(k) {
            int at = row * stride + col;
            double x = row == col ? 1.0 / root : a[at] * root;
            a[at] = row > col || root == 0.0 || scale[col] == 0.0 ? 0.0 : x / scale[col];
            b[at] = row == col ? 1.0 : 0.0;
        }
    }
    double *length = scale;
    int lane = threadIdx.x % WARP, players = k + k % 2;
    for (int sweep = 0; sweep < SWEEPS; sweep++) {
        __syncthreads();
        if (threadIdx.x == 0) rotated = 0;
        __syncthreads();
        for (int round = 0; round + 1 < players; round++) {
            for (int pair = threadIdx.x / WARP; pair < players / 2; pair += THREADS / WARP) {
                // Player players - 1 stays, the others walk round the table.
                int turn = players - 1;
                int p = pair == 0 ? turn : (round + pair) % turn;
                int q = (round + turn - pair) % turn;
                if (p > q) {
                    int swap = p;
                    p = q;
                    q = swap;
                }
                if (q >= k) continue;
                double pp = 0.0, qq = 0.0, pq = 0.0;
                for (int i = lane; i < k; i += WARP) {
                    double x = a[i * stride + p], y = a[i * stride + q];
                    pp += x * x;
                    qq += y * y;
                    pq += x * y;
                }
                pp = sum_of_warp(pp);
                qq = sum_of_warp(qq);
                pq = sum_of_warp(pq);
                const double eps = 2.220446049250313e-16;
                // Not squared: those of small columns would vanish.
                if (fabs(pq) <= eps * sqrt(pp) * sqrt(qq) || pq != pq) continue;
                double zeta = (qq - pp) / (2.0 * pq), sign = zeta < 0.0 ? -1.0 : 1.0;
                double t = sign / (sign * zeta + sqrt(1.0 + zeta * zeta));
                double cosine = 1.0 / sqrt(1.0 + t * t), sine = cosine * t;
                for (int i = lane; i < k; i += WARP) {
                    double x = a[i * stride + p], y = a[i * stride + q];
                    a[i * stride + p] = cosine * x - sine * y;
                    a[i * stride + q] = sine * x + cosine * y;
                    x = b[i * stride + p];
                    y = b[i * stride + q];
                    b[i * stride + p] = cosine * x - sine * y;
                    b[i * stride + q] = sine * x + cosine * y;
                }
                if (lane == 0) atomicOr(&rotated, 1);
            }
            __syncthreads();
        }
        if (!rotated) break;
    }
    __syncthreads();
    for (int j = threadIdx.x; j < k; j += THREADS) {
        double square = 0.0;
        for (int i = 0; i < k; i++) square += a[i * stride + j] * a[i * stride + j];
        // NaN compares with nothing: without a place of its own it would take another column's.
        length[j] = square == square ? square : -1.0;
    }
    __syncthreads();
    // Column j goes to the place that as many longer ones (or equal ones before it) leave.
    for (int j = threadIdx.x; j < k; j += THREADS) {
        int place = 0;
        for (int i = 0; i < k; i++) place += length[i] > length[j] || (length[i] == length[j] && i < j);
        for (int i = 0; i < k; i++) put(out, i, place, (REAL)b[i * stride + j]);
    }
}

// The same. Working memory: 2 k stride + k numbers.
extern "C" __global__ void diagonalizer(struct View out, struct View gram, int k, int stride, double dependent,
                                        double *scratch) {
    IN_WORKING_MEMORY(2, diagonalize, part(out), part(gram), k, stride, dependent)
}
