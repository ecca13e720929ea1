// Sums in double, in an order that depends on the shape alone. `partial`: one number for each block; `counter`: zero
// before and after.

extern "C" __global__ void dot(struct View x, struct View y, Index rows, Index cols, double *partial,
                               unsigned int *counter, double *result) {
    __shared__ double shared[THREADS];
    x = part(x), y = part(y);
    double sum = 0.0;
    REAL a[BATCH], b[BATCH];
    FOR_EACH_BATCH(rows, cols) {
        get_batch(x, row, col, cols, THREADS, a);
        get_batch(y, row, col, cols, THREADS, b);
        IN_BATCH sum += (double)a[i] * (double)b[i];
    }
    unsigned int block = blockIdx.y * gridDim.x + blockIdx.x;
    FOR_ITS_PART(gridDim.x * gridDim.y);
    reduce_grid(REDUCE_SUM, sum, shared, partial, block, gridDim.x * gridDim.y, counter, result);
}

extern "C" __global__ void max_abs(struct View x, Index rows, Index cols, double *partial, unsigned int *counter,
                                   double *result) {
    __shared__ double shared[THREADS];
    x = part(x);
    double most = 0.0;
    REAL a[BATCH];
    FOR_EACH_BATCH(rows, cols) {
        get_batch(x, row, col, cols, THREADS, a);
        IN_BATCH most = larger(most, fabs((double)a[i]));
    }
    unsigned int block = blockIdx.y * gridDim.x + blockIdx.x;
    FOR_ITS_PART(gridDim.x * gridDim.y);
    reduce_grid(REDUCE_MAX, most, shared, partial, block, gridDim.x * gridDim.y, counter, result);
}

#define MATRICES 256

// Where matrices of one shape lie.
struct Places {
    void *data[MATRICES];
};

// The sum of the squares of all entries of gridDim.z matrices.
extern "C" __global__ void squares(PARAMETER struct Places places, Index ld, int storage, Index rows, Index cols, double *partial,
                                   unsigned int *counter, double *result) {
    __shared__ double shared[THREADS];
    struct View x = {places.data[blockIdx.z], ld, storage, 0};
    double sum = 0.0;
    REAL a[BATCH];
    FOR_EACH_BATCH(rows, cols) {
        get_batch(x, row, col, cols, THREADS, a);
        IN_BATCH sum += (double)a[i] * (double)a[i];
    }
    unsigned int block = (blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
    reduce_grid(REDUCE_SUM, sum, shared, partial, block, gridDim.x * gridDim.y * gridDim.z, counter, result);
}
