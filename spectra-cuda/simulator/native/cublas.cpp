// libcublas.so: matrix products by plain loops, column-major. Sums of 64 terms are added up, all in the compute type.
#include <algorithm>

#include "numbers.hpp"
#include "simulator.hpp"

using namespace sim;

namespace {

enum Result : int {
    CUBLAS_SUCCESS = 0,
    CUBLAS_NOT_INITIALIZED = 1,
    CUBLAS_INVALID_VALUE = 7,
    CUBLAS_EXECUTION_FAILED = 13,
    CUBLAS_NOT_SUPPORTED = 15,
};
struct Handle {
    int device;
    void* stream = nullptr;
    int math_mode = 0;
    bool device_scalars = false;
    Access workspace{0, 0, true};  // written by every product
};
std::set<Handle*> handles;

struct Matrix {
    Address address;  // of the entries; of a pointer array: of the table of their addresses
    Type type;
    std::int64_t rows, columns, ld, stride;
    bool in_table = false;
    Address begin(std::int64_t batch) const {
        return in_table ? reinterpret_cast<const Address*>(address)[batch] : address + batch * stride * std::int64_t(size_of(type));
    }
    char* at(std::int64_t batch, std::int64_t i, std::int64_t j) const {
        return reinterpret_cast<char*>(begin(batch)) + (j * ld + i) * std::int64_t(size_of(type));
    }
    std::size_t bytes() const { return std::size_t((columns - 1) * ld + rows) * size_of(type); }
    // One of the matrices of a batch.
    Matrix alone(std::int64_t batch) const { return {begin(batch), type, rows, columns, ld, 0}; }
    Access table(std::int64_t batches) const { return {address, std::size_t(batches) * sizeof(Address), false}; }
    void add_accesses(std::vector<Access>& to, std::int64_t batches, bool write) const {
        if (!in_table) {
            to.push_back({address, std::size_t((batches - 1) * stride) * size_of(type) + bytes(), write});
            return;
        }
        to.push_back(table(batches));
        for (std::int64_t batch = 0; batch < batches; batch++) to.push_back({begin(batch), bytes(), write});
    }
};

// Whether two matrices share an element; of the same leading dimension they may lie side by side in one range.
bool overlap(const Matrix& a, const Matrix& b) {
    struct Range {
        Address address;
        std::size_t bytes;
    } x{a.address, a.bytes()}, y{b.address, b.bytes()};
    if (x.address + x.bytes <= y.address || y.address + y.bytes <= x.address) return false;
    std::int64_t ld = a.ld * std::int64_t(size_of(a.type));
    if (ld != b.ld * std::int64_t(size_of(b.type))) return true;
    std::int64_t offset = std::int64_t(y.address - x.address) % ld;
    if (offset < 0) offset += ld;
    return offset < a.rows * std::int64_t(size_of(a.type)) || offset + b.rows * std::int64_t(size_of(b.type)) > ld;
}

enum Part { ALL, LOWER, UPPER };

// C = alpha op(A) op(B) + beta C for each of `batches`; beta = 0: C is not read. `part`: of C that is computed.
struct Product {
    bool transpose_a, transpose_b;
    std::int64_t m, n, k;
    Matrix a, b, c;
    std::int64_t batches;
    Rounding rounding;
    Part part;

    template <class T> void pack(const Matrix& x, bool transpose, std::int64_t batch, std::vector<T>& out) const {
        std::int64_t rows = transpose ? x.columns : x.rows, columns = transpose ? x.rows : x.columns;
        out.resize(rows * columns);
        for (std::int64_t j = 0; j < columns; j++)
            for (std::int64_t i = 0; i < rows; i++)
                out[j * rows + i] = rounded(read<T>(transpose ? x.at(batch, j, i) : x.at(batch, i, j), x.type), rounding);
    }

    template <class T> void run(T alpha, T beta) const {
        std::vector<T> left, right, sum(m), total(m);
        for (std::int64_t batch = 0; batch < batches; batch++) {
            bool product = alpha != 0 && k > 0;
            if (product) pack(a, transpose_a, batch, left), pack(b, transpose_b, batch, right);
            for (std::int64_t j = 0; j < n; j++) {
                std::int64_t begin = part == LOWER ? j : 0, end = part == UPPER ? std::min(j + 1, m) : m;
                std::fill(total.begin(), total.end(), T(0));
                for (std::int64_t l0 = 0; product && l0 < k; l0 += 64) {
                    std::fill(sum.begin(), sum.end(), T(0));
                    for (std::int64_t l = l0; l < std::min(l0 + 64, k); l++) {
                        const T factor = right[j * k + l];
                        const T* column = &left[l * m];
                        T* to = sum.data();
                        for (std::int64_t i = begin; i < end; i++) to[i] += column[i] * factor;
                    }
                    for (std::int64_t i = begin; i < end; i++) total[i] += sum[i];
                }
                for (std::int64_t i = begin; i < end; i++) {
                    char* at = c.at(batch, i, j);
                    T value = product ? alpha * total[i] : T(0);
                    if (beta != 0) value += beta * read<T>(at, c.type);
                    write(at, c.type, value);
                }
            }
        }
    }
};

bool valid(const Matrix& x) { return x.ld >= std::max<std::int64_t>(1, x.rows); }
bool aligned(const Matrix& x, std::int64_t batches) {
    for (std::int64_t batch = 0; batch < (x.in_table ? batches : 1); batch++)
        if (x.begin(batch) % size_of(x.type)) return false;
    return true;
}

template <class T>
Result submit(Handle* handle, const char* name, const Product& p, const void* alpha_at, const void* beta_at) {
    Lock lock;
    if (!handles.count(handle)) return CUBLAS_NOT_INITIALIZED;
    if (p.m < 0 || p.n < 0 || p.k < 0 || p.batches < 0 || !alpha_at || !beta_at) return CUBLAS_INVALID_VALUE;
    if (!valid(p.a) || !valid(p.b) || !valid(p.c)) return CUBLAS_INVALID_VALUE;
    if (p.m == 0 || p.n == 0 || p.batches == 0) return CUBLAS_SUCCESS;
    State& s = state();
    if (s.contexts[handle->device].sticky) return CUBLAS_EXECUTION_FAILED;
    Stream* stream = stream_of(handle->stream, handle->device);
    if (!stream) return CUBLAS_EXECUTION_FAILED;

    for (const Matrix* x : {&p.a, &p.b, &p.c})
        if (x->in_table && !containing(x->address, x->table(p.batches).bytes))
            return fault(handle->device, ILLEGAL_ADDRESS, std::string(name) + ": a pointer array is " + describe(x->address)), CUBLAS_SUCCESS;
    Operation operation{name, {}, nullptr};
    if (p.k > 0) p.a.add_accesses(operation.accesses, p.batches, false), p.b.add_accesses(operation.accesses, p.batches, false);
    p.c.add_accesses(operation.accesses, p.batches, true);
    Address alpha_address = reinterpret_cast<Address>(alpha_at), beta_address = reinterpret_cast<Address>(beta_at);
    if (handle->workspace.bytes) operation.accesses.push_back(handle->workspace);
    T alpha{}, beta{};
    bool on_device = handle->device_scalars;
    if (on_device) {
        operation.accesses.push_back({alpha_address, sizeof(T), false});
        operation.accesses.push_back({beta_address, sizeof(T), false});
    } else {
        const Allocation *x = find(alpha_address), *y = find(beta_address);
        if (x || y) {
            violation(std::string(name) + ": alpha or beta lies in device memory, but the pointer mode says host");
            return CUBLAS_EXECUTION_FAILED;
        }
        std::memcpy(&alpha, alpha_at, sizeof alpha);
        std::memcpy(&beta, beta_at, sizeof beta);
    }
    if (!aligned(p.a, p.batches) || !aligned(p.b, p.batches) || !aligned(p.c, p.batches))
        return fault(handle->device, MISALIGNED_ADDRESS, std::string(name) + ": an operand is not aligned to its element"), CUBLAS_EXECUTION_FAILED;
    for (std::int64_t i = 0; p.k > 0 && i < (p.c.in_table ? p.batches : 1); i++)
        if (overlap(p.c.alone(i), p.a.alone(i)) || overlap(p.c.alone(i), p.b.alone(i)))
            violation(std::string(name) + ": the result overlaps an operand");
    for (std::int64_t i = 0; p.c.in_table && i < p.batches; i++)
        for (std::int64_t j = 0; j < p.batches; j++)
            if ((i < j && overlap(p.c.alone(i), p.c.alone(j))) ||
                (i != j && p.k > 0 && (overlap(p.c.alone(i), p.a.alone(j)) || overlap(p.c.alone(i), p.b.alone(j)))))
                violation(std::string(name) + ": products of a batch share memory that one of them writes");
    operation.run = [=] {
        // A pointer array may have been written since it was asked for: what it holds now counts.
        for (const Matrix* x : {&p.a, &p.b, &p.c})
            for (std::int64_t batch = 0; x->in_table && batch < p.batches; batch++)
                if ((p.k > 0 || x == &p.c) && !containing(x->begin(batch), x->bytes()))
                    return fault(handle->device, ILLEGAL_ADDRESS, std::string(name) + ": a pointer of the array is " + describe(x->begin(batch)));
        T scale = alpha, keep = beta;
        if (on_device) {
            std::memcpy(&scale, alpha_at, sizeof scale);
            std::memcpy(&keep, beta_at, sizeof keep);
        }
        p.run<T>(scale, keep);
        auto& c = state().counters;
        c.products++;
        c.flops += std::uint64_t(p.batches) * p.k * (p.part == ALL ? 2 * p.m * p.n : p.n * (p.n + 1));
        return SUCCESS;
    };
    return enqueue(*stream, std::move(operation)) ? CUBLAS_EXECUTION_FAILED : CUBLAS_SUCCESS;
}

Matrix operand(const void* at, int type, bool transpose, std::int64_t rows, std::int64_t columns, int ld, long long stride = 0, bool arrays = false) {
    if (transpose) std::swap(rows, columns);
    return {reinterpret_cast<Address>(at), Type(type), rows, columns, ld, stride, arrays};
}

bool is_transpose(int operation) { return operation != 0; }

Rounding rounding_of(Handle* handle, Type type) {
    Lock lock;
    return handles.count(handle) && handle->math_mode == 3 && type == F32 ? TO_TF32 : NONE;
}

template <class T>
Result gemm(const char* name, Handle* handle, int ta, int tb, int m, int n, int k, const void* alpha, const void* a, int a_type, int lda,
            long long stride_a, const void* b, int b_type, int ldb, long long stride_b, const void* beta, void* c, int c_type, int ldc,
            long long stride_c, int batches, Rounding rounding, bool arrays = false) {
    if (ta < 0 || ta > 2 || tb < 0 || tb > 2) return CUBLAS_INVALID_VALUE;
    bool xa = is_transpose(ta), xb = is_transpose(tb);
    Product p{xa, xb, m, n, k, operand(a, a_type, xa, m, k, lda, stride_a, arrays), operand(b, b_type, xb, k, n, ldb, stride_b, arrays),
              operand(c, c_type, false, m, n, ldc, stride_c, arrays), batches, rounding, ALL};
    return submit<T>(handle, name, p, alpha, beta);
}

// A triangle of alpha op(A) op(B)^T + beta C.
template <class T>
Result syrkx(const char* name, Handle* handle, int uplo, int trans, int n, int k, const T* alpha, const T* a, int lda, const T* b, int ldb,
             const T* beta, T* c, int ldc) {
    if (uplo < 0 || uplo > 1 || trans < 0 || trans > 2) return CUBLAS_INVALID_VALUE;
    int type = sizeof(T) == 8 ? F64 : F32;
    bool transpose = is_transpose(trans);
    Matrix x = operand(a, type, transpose, n, k, lda), y = operand(b, type, transpose, n, k, ldb);
    Product p{transpose, !transpose, n, n, k, x, y, operand(c, type, false, n, n, ldc), 1, rounding_of(handle, Type(type)), uplo ? UPPER : LOWER};
    return submit<T>(handle, name, p, alpha, beta);
}

}  // namespace

EXPORT Result cublasCreate_v2(Handle** out) {
    Lock lock;
    if (current_device() < 0) return CUBLAS_NOT_INITIALIZED;
    *out = new Handle{current_device()};
    handles.insert(*out);
    return CUBLAS_SUCCESS;
}
EXPORT Result cublasDestroy_v2(Handle* handle) {
    Lock lock;
    if (!handles.erase(handle)) return CUBLAS_NOT_INITIALIZED;
    delete handle;
    return CUBLAS_SUCCESS;
}

#define WITH_HANDLE \
    Lock lock;      \
    if (!handles.count(handle)) return CUBLAS_NOT_INITIALIZED

EXPORT Result cublasGetVersion_v2(Handle* handle, int* version) {
    WITH_HANDLE;
    return *version = 120800, CUBLAS_SUCCESS;
}
EXPORT Result cublasSetStream_v2(Handle* handle, void* stream) {
    WITH_HANDLE;
    handle->stream = stream;
    handle->workspace = {0, 0, true};  // back to cuBLAS's own, as documented
    return CUBLAS_SUCCESS;
}
EXPORT Result cublasGetStream_v2(Handle* handle, void** stream) {
    WITH_HANDLE;
    return *stream = handle->stream, CUBLAS_SUCCESS;
}
EXPORT Result cublasSetMathMode(Handle* handle, int mode) {
    WITH_HANDLE;
    int base = mode & 15;
    if (base > 3 || (mode & ~(16 | 15))) return CUBLAS_INVALID_VALUE;
    handle->math_mode = base;
    return CUBLAS_SUCCESS;
}
EXPORT Result cublasGetMathMode(Handle* handle, int* mode) {
    WITH_HANDLE;
    return *mode = handle->math_mode, CUBLAS_SUCCESS;
}
EXPORT Result cublasSetPointerMode_v2(Handle* handle, int mode) {
    WITH_HANDLE;
    if (mode < 0 || mode > 1) return CUBLAS_INVALID_VALUE;
    handle->device_scalars = mode == 1;
    return CUBLAS_SUCCESS;
}
EXPORT Result cublasGetPointerMode_v2(Handle* handle, int* mode) {
    WITH_HANDLE;
    return *mode = handle->device_scalars, CUBLAS_SUCCESS;
}
EXPORT Result cublasSetAtomicsMode(Handle* handle, int) {
    WITH_HANDLE;
    return CUBLAS_SUCCESS;
}
EXPORT Result cublasSetWorkspace_v2(Handle* handle, void* workspace, std::size_t bytes) {
    WITH_HANDLE;
    auto address = reinterpret_cast<Address>(workspace);
    const Allocation* a = containing(address, bytes);
    // 256-byte alignment, which an allocation's begin has on a device.
    if (bytes && (!a || (address - reinterpret_cast<Address>(a->begin)) % 256)) return CUBLAS_INVALID_VALUE;
    handle->workspace = {address, bytes, true};
    return CUBLAS_SUCCESS;
}

EXPORT Result cublasSgemmStridedBatched(Handle* h, int ta, int tb, int m, int n, int k, const float* alpha, const float* a, int lda, long long sa,
                                        const float* b, int ldb, long long sb, const float* beta, float* c, int ldc, long long sc, int batches) {
    return gemm<float>("sgemm", h, ta, tb, m, n, k, alpha, a, F32, lda, sa, b, F32, ldb, sb, beta, c, F32, ldc, sc, batches, rounding_of(h, F32));
}
EXPORT Result cublasDgemmStridedBatched(Handle* h, int ta, int tb, int m, int n, int k, const double* alpha, const double* a, int lda, long long sa,
                                        const double* b, int ldb, long long sb, const double* beta, double* c, int ldc, long long sc, int batches) {
    return gemm<double>("dgemm", h, ta, tb, m, n, k, alpha, a, F64, lda, sa, b, F64, ldb, sb, beta, c, F64, ldc, sc, batches, NONE);
}
EXPORT Result cublasSgemm_v2(Handle* h, int ta, int tb, int m, int n, int k, const float* alpha, const float* a, int lda, const float* b, int ldb,
                             const float* beta, float* c, int ldc) {
    return cublasSgemmStridedBatched(h, ta, tb, m, n, k, alpha, a, lda, 0, b, ldb, 0, beta, c, ldc, 0, 1);
}
EXPORT Result cublasDgemm_v2(Handle* h, int ta, int tb, int m, int n, int k, const double* alpha, const double* a, int lda, const double* b, int ldb,
                             const double* beta, double* c, int ldc) {
    return cublasDgemmStridedBatched(h, ta, tb, m, n, k, alpha, a, lda, 0, b, ldb, 0, beta, c, ldc, 0, 1);
}

// `arrays`: a, b and c are device arrays of pointers, one for each product.
static Result gemm_ex(bool arrays, Handle* h, int ta, int tb, int m, int n, int k, const void* alpha, const void* a, int a_type, int lda,
                      long long sa, const void* b, int b_type, int ldb, long long sb, const void* beta, void* c, int c_type,
                      int ldc, long long sc, int batches, int compute) {
    // cuBLAS's table for real types: both inputs of one type; the result of that type, or f32 from 16 bits.
    bool half = a_type == F16 || a_type == BF16, wide = compute == 70 || compute == 71;
    if (a_type != b_type || !(c_type == a_type || (half && c_type == F32))) return CUBLAS_NOT_SUPPORTED;
    if (wide)
        return a_type != F64 ? CUBLAS_NOT_SUPPORTED
                             : gemm<double>("gemm", h, ta, tb, m, n, k, alpha, a, a_type, lda, sa, b, b_type, ldb, sb, beta, c, c_type, ldc, sc, batches, NONE, arrays);
    Rounding rounding = compute == 77 ? TO_TF32 : compute == 75 ? TO_BF16 : compute == 74 ? TO_F16 : NONE;
    bool plain = compute == 68 || compute == 69;
    if (a_type == F64 || !(plain || rounding) || (rounding && a_type != F32)) return CUBLAS_NOT_SUPPORTED;
    if (compute == 68) rounding = rounding_of(h, Type(a_type));
    return gemm<float>("gemm", h, ta, tb, m, n, k, alpha, a, a_type, lda, sa, b, b_type, ldb, sb, beta, c, c_type, ldc, sc, batches, rounding, arrays);
}
EXPORT Result cublasGemmStridedBatchedEx(Handle* h, int ta, int tb, int m, int n, int k, const void* alpha, const void* a, int a_type, int lda,
                                         long long sa, const void* b, int b_type, int ldb, long long sb, const void* beta, void* c, int c_type,
                                         int ldc, long long sc, int batches, int compute, int) {
    return gemm_ex(false, h, ta, tb, m, n, k, alpha, a, a_type, lda, sa, b, b_type, ldb, sb, beta, c, c_type, ldc, sc, batches, compute);
}
EXPORT Result cublasGemmEx(Handle* h, int ta, int tb, int m, int n, int k, const void* alpha, const void* a, int a_type, int lda, const void* b,
                           int b_type, int ldb, const void* beta, void* c, int c_type, int ldc, int compute, int algorithm) {
    return cublasGemmStridedBatchedEx(h, ta, tb, m, n, k, alpha, a, a_type, lda, 0, b, b_type, ldb, 0, beta, c, c_type, ldc, 0, 1, compute, algorithm);
}

EXPORT Result cublasGemmBatchedEx(Handle* h, int ta, int tb, int m, int n, int k, const void* alpha, const void* const* a, int a_type, int lda,
                                  const void* const* b, int b_type, int ldb, const void* beta, void* const* c, int c_type, int ldc, int batches,
                                  int compute, int) {
    return gemm_ex(true, h, ta, tb, m, n, k, alpha, a, a_type, lda, 0, b, b_type, ldb, 0, beta, const_cast<void**>(c), c_type, ldc, 0, batches, compute);
}

EXPORT Result cublasSsyrk_v2(Handle* h, int uplo, int trans, int n, int k, const float* alpha, const float* a, int lda, const float* beta, float* c, int ldc) {
    return syrkx<float>("ssyrk", h, uplo, trans, n, k, alpha, a, lda, a, lda, beta, c, ldc);
}
EXPORT Result cublasDsyrk_v2(Handle* h, int uplo, int trans, int n, int k, const double* alpha, const double* a, int lda, const double* beta, double* c, int ldc) {
    return syrkx<double>("dsyrk", h, uplo, trans, n, k, alpha, a, lda, a, lda, beta, c, ldc);
}
EXPORT Result cublasSsyrkx(Handle* h, int uplo, int trans, int n, int k, const float* alpha, const float* a, int lda, const float* b, int ldb,
                           const float* beta, float* c, int ldc) {
    return syrkx<float>("ssyrkx", h, uplo, trans, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}
EXPORT Result cublasDsyrkx(Handle* h, int uplo, int trans, int n, int k, const double* alpha, const double* a, int lda, const double* b, int ldb,
                           const double* beta, double* c, int ldc) {
    return syrkx<double>("dsyrkx", h, uplo, trans, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}
