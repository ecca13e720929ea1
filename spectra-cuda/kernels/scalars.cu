// Numbers that are needed as such: where a program grows too long, where the host wants to read one, and where cuBLAS
// takes coefficients from device memory.

extern "C" __global__ void scalar_evaluate(double *out, PARAMETER struct Coefficients c) {
    if (threadIdx.x != 0) return;
    double value[COEFFICIENTS];
    evaluate(&c, value);
    out[blockIdx.z] = value[0];
}

// The first two coefficients in the element type, for a product.
extern "C" __global__ void scalar_pair(REAL *out, PARAMETER struct Coefficients c) {
    if (threadIdx.x != 0) return;
    double value[COEFFICIENTS];
    evaluate(&c, value);
    out[0] = (REAL)value[0];
    out[1] = (REAL)value[1];
}
