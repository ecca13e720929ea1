// out = beta out + alpha f(x, y), entry by entry; coefficient 0 is beta, 1 is alpha. Where `keep` is 0 the old value of
// `out` is not read.

static __device__ REAL sign_of(REAL x) {
    if (x != x) return x;
    return (REAL)((x > 0) - (x < 0));
}

#define ELEMENTWISE(name, operands, value)                                                                             \
    extern "C" __global__ void name(struct View out, struct View x_view, struct View y_view, Index rows, Index cols,   \
                                    int keep, PARAMETER struct Numbers numbers, PARAMETER struct Coefficients c) {      \
        COEFFICIENTS_OF(c, coefficient)                                                                                \
        const double eps = number(&numbers, 0);                                                                        \
        out = part(out), x_view = part(x_view), y_view = part(y_view);                                                 \
        FACTORS_OF(c, coefficient, 1, alpha)                                                                           \
        REAL beta = coefficient[0];                                                                                    \
        REAL x[BATCH], y[BATCH], old[BATCH];                                                                           \
        FOR_EACH_BATCH(rows, cols) {                                                                                   \
            get_batch(x_view, row, col, cols, THREADS, x);                                                             \
            if (operands == 2) get_batch(y_view, row, col, cols, THREADS, y);                                          \
            if (keep) get_batch(out, row, col, cols, THREADS, old);                                                    \
            IN_BATCH {                                                                                                 \
                REAL term = alpha * (alpha_unit * (value));                                                            \
                x[i] = keep ? beta * old[i] + term : term;                                                             \
            }                                                                                                          \
            put_batch(out, row, col, cols, THREADS, x);                                                                \
        }                                                                                                              \
    }

ELEMENTWISE(scale_add, 1, x[i])
ELEMENTWISE(product_add, 2, x[i] * y[i])
ELEMENTWISE(quotient_add, 2, x[i] / ((REAL)sqrt(y[i]) + (REAL)eps))
ELEMENTWISE(sign_add, 1, sign_of(x[i]))

// out = beta out. A beta of zero on the host writes zeros without reading.
extern "C" __global__ void scale(struct View out, Index rows, Index cols, int keep, PARAMETER struct Coefficients c) {
    COEFFICIENTS_OF(c, coefficient)
    out = part(out);
    REAL x[BATCH];
    FOR_EACH_BATCH(rows, cols) {
        if (keep) get_batch(out, row, col, cols, THREADS, x);
        IN_BATCH x[i] = keep ? coefficient[0] * x[i] : (REAL)0;
        put_batch(out, row, col, cols, THREADS, x);
    }
}

// Adam in one pass: with g = scale G first = b1 first + (1 - b1) g, second = b2 second + (1 - b2) g o g, and
// out = beta out + alpha first / (sqrt(second) + eps). With a slow part also slow = b3 slow + (1 - b3) g, and
// first + a slow in the place of first. Coefficients: beta, alpha, scale; numbers: b1, b2, b3, a, eps.
extern "C" __global__ void adam_add(struct View out, struct View first, struct View second, struct View slow,
                                    struct View gradient, Index rows, Index cols, int keep, int has_slow,
                                    PARAMETER struct Numbers numbers, PARAMETER struct Coefficients c) {
    COEFFICIENTS_OF(c, coefficient)
    FACTORS_OF(c, coefficient, 2, scale)
    const double b1 = number(&numbers, 0), b2 = number(&numbers, 1), b3 = number(&numbers, 2), a = number(&numbers, 3);
    const double eps = number(&numbers, 4);
    out = part(out), first = part(first), second = part(second), slow = part(slow), gradient = part(gradient);
    REAL g[BATCH], m[BATCH], v[BATCH], s[BATCH], x[BATCH];
    FOR_EACH_BATCH(rows, cols) {
        get_batch(gradient, row, col, cols, THREADS, g);
        // A factor of zero promises that the old contents do not matter, NaN included.
        if (b1 != 0) get_batch(first, row, col, cols, THREADS, m);
        if (b2 != 0) get_batch(second, row, col, cols, THREADS, v);
        if (has_slow && b3 != 0) get_batch(slow, row, col, cols, THREADS, s);
        if (keep) get_batch(out, row, col, cols, THREADS, x);
        IN_BATCH {
            // Scaled before it is squared.
            REAL scaled = scale * (scale_unit * g[i]);
            m[i] = (b1 == 0 ? (REAL)0 : (REAL)b1 * m[i]) + (REAL)(1.0 - b1) * scaled;
            v[i] = (b2 == 0 ? (REAL)0 : (REAL)b2 * v[i]) + (REAL)(1.0 - b2) * (scaled * scaled);
            REAL numerator = m[i];
            if (has_slow) {
                s[i] = (b3 == 0 ? (REAL)0 : (REAL)b3 * s[i]) + (REAL)(1.0 - b3) * scaled;
                numerator += (REAL)a * s[i];
            }
            REAL term = coefficient[1] * (numerator / ((REAL)sqrt(v[i]) + (REAL)eps));
            x[i] = keep ? coefficient[0] * x[i] + term : term;
        }
        put_batch(first, row, col, cols, THREADS, m);
        put_batch(second, row, col, cols, THREADS, v);
        if (has_slow) put_batch(slow, row, col, cols, THREADS, s);
        put_batch(out, row, col, cols, THREADS, x);
    }
}

// What momentum's direction is of: the state after the step, that once more averaged with the gradient (Nesterov), or the state
// before the step likewise (Lion).
#define OF_NEW 0
#define OF_AHEAD 1
#define OF_OLD 2

// Momentum in one pass: with g = scale G state = mu state + weight g, n as `form` says, averaged as look state + gain g, and
// out = beta out + alpha n or alpha sign(n). Coefficients: beta, alpha, scale; numbers: mu, weight, look, gain.
extern "C" __global__ void momentum_add(struct View out, struct View state, struct View gradient, Index rows, Index cols, int keep,
                                        int form, int is_sign, PARAMETER struct Numbers numbers,
                                        PARAMETER struct Coefficients c) {
    COEFFICIENTS_OF(c, coefficient)
    FACTORS_OF(c, coefficient, 1, alpha)
    FACTORS_OF(c, coefficient, 2, scale)
    const double mu = number(&numbers, 0), weight = number(&numbers, 1), look = number(&numbers, 2), gain = number(&numbers, 3);
    out = part(out), state = part(state), gradient = part(gradient);
    // A factor of zero promises that the old contents do not matter, NaN included.
    const bool is_read = mu != 0 || (form == OF_OLD && look != 0);
    REAL g[BATCH], m[BATCH], x[BATCH];
    FOR_EACH_BATCH(rows, cols) {
        get_batch(gradient, row, col, cols, THREADS, g);
        if (is_read) get_batch(state, row, col, cols, THREADS, m);
        if (keep) get_batch(out, row, col, cols, THREADS, x);
        IN_BATCH {
            const REAL scaled = scale * (scale_unit * g[i]);
            const REAL after = (mu == 0 ? (REAL)0 : (REAL)mu * m[i]) + (REAL)weight * scaled;
            const REAL of = form == OF_OLD ? m[i] : after;
            const REAL n = form == OF_NEW ? after : (look == 0 ? (REAL)0 : (REAL)look * of) + (REAL)gain * scaled;
            const REAL term = alpha * (alpha_unit * (is_sign ? sign_of(n) : n));
            m[i] = after;
            x[i] = keep ? coefficient[0] * x[i] + term : term;
        }
        put_batch(state, row, col, cols, THREADS, m);
        put_batch(out, row, col, cols, THREADS, x);
    }
}

// Mirrors the strict upper triangle (row < col) to the lower one.
extern "C" __global__ void mirror(struct View out, Index n) {
    out = part(out);
    FOR_EACH_ENTRY(n, n) {
        if (row > col) put(out, row, col, get(out, col, row));
    }
}

// A tile's entries lie 32 by 32 in shared memory, with a column more: neither rows nor columns meet in one bank.
#define SIDE WARP

// out (rows x cols) = x^T, tile by tile: both are read and written along their rows, 32 entries at a time.
extern "C" __global__ void transpose(struct View out, struct View x_view, Index rows, Index cols) {
    __shared__ REAL tile[SIDE * (SIDE + 1)];
    const int lane = threadIdx.x % SIDE, line = threadIdx.x / SIDE;
    const Index across = (cols + SIDE - 1) / SIDE, tiles = (rows + SIDE - 1) / SIDE * across;
    for (Index t = blockIdx.x; t < tiles; t += gridDim.x) {
        const Index top = t / across * SIDE, left = t % across * SIDE;
        for (int i = line; i < SIDE; i += THREADS / SIDE) {
            if (left + i < cols && top + lane < rows) tile[i * (SIDE + 1) + lane] = get(x_view, left + i, top + lane);
        }
        __syncthreads();
        for (int i = line; i < SIDE; i += THREADS / SIDE) {
            if (top + i < rows && left + lane < cols) put(out, top + i, left + lane, tile[lane * (SIDE + 1) + i]);
        }
        __syncthreads();
    }
}
