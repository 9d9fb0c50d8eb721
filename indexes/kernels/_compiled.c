/* _compiled.c: the loops of numpy_kernels.py, one function each, in the same order of arguments.

   Arrays come through the buffer protocol, C-contiguous and of the one type that each function
   names; what is written to is made by the caller (kernels.py). Rows are checked against the array
   that they point into: IndexError, never a read outside. -1 is the last row of a table that has
   one row more than there are items, as in numpy.

   Sums of products are kept in LANES partial sums, which are added in one fixed order, and nothing
   is contracted to fused operations (-ffp-contract=off): a row's result depends neither on the
   other rows nor on the width of the machine's vectors. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#define LANES 16
#define MANY 4000000 /* products from which on other threads may run meanwhile */
#define AHEAD 6      /* rows of vectors that are fetched before they are read */
#define MOST 16      /* arrays of one call */

#if defined(__GNUC__) && !defined(__clang__) && defined(__x86_64__) && defined(__GLIBC__)
#define WIDE __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define WIDE
#endif
#if defined(__GNUC__)
#define FETCH(address) __builtin_prefetch(address)
#else
#define FETCH(address) ((void)0)
#endif

/* ---- arrays ---- */

typedef struct {
    Py_buffer views[MOST];
    int count;
} Arrays;

static void release(Arrays *arrays)
{
    while (arrays->count)
        PyBuffer_Release(&arrays->views[--arrays->count]);
}

/* The next array of a call: its type is one of `kinds` and takes `size` bytes. Its length, or -1. */
static Py_ssize_t take(Arrays *arrays, PyObject *object, const char *kinds, Py_ssize_t size,
                       int writable, void *data)
{
    Py_buffer *view = &arrays->views[arrays->count];
    int flags = PyBUF_C_CONTIGUOUS | PyBUF_FORMAT | (writable ? PyBUF_WRITABLE : 0);
    if (PyObject_GetBuffer(object, view, flags) < 0)
        return -1;
    arrays->count++;
    const char *format = view->format ? view->format : "B";
    char kind = format[strlen(format) - 1];
    if (view->itemsize != size || !strchr(kinds, kind)) {
        PyErr_Format(PyExc_TypeError, "array %d is of type %s", arrays->count, format);
        return -1;
    }
    *(void **)data = view->buf;
    return view->len / size;
}

#define F32(object, data) take(&arrays, object, "f", 4, 0, data)
#define F64(object, data) take(&arrays, object, "d", 8, 0, data)
#define I64(object, data) take(&arrays, object, "lq", 8, 0, data)
#define U32(object, data) take(&arrays, object, "IL", 4, 0, data)
#define U64(object, data) take(&arrays, object, "LQ", 8, 0, data)
#define U8(object, data) take(&arrays, object, "B", 1, 0, data)
#define F32_OUT(object, data) take(&arrays, object, "f", 4, 1, data)
#define F64_OUT(object, data) take(&arrays, object, "d", 8, 1, data)
#define I64_OUT(object, data) take(&arrays, object, "lq", 8, 1, data)

static PyObject *failed(Arrays *arrays, const char *why)
{
    release(arrays);
    if (!PyErr_Occurred())
        PyErr_SetString(PyExc_ValueError, why);
    return NULL;
}

static PyObject *done(Arrays *arrays)
{
    release(arrays);
    Py_RETURN_NONE;
}

static int is_count(Py_ssize_t given, Py_ssize_t wanted, const char *name)
{
    if (given == wanted)
        return 1;
    PyErr_Format(PyExc_TypeError, "%s takes %zd arguments, %zd were given", name, wanted, given);
    return 0;
}

/* Whether each row is one of `count`; from `lowest` on. */
static int within(const int64_t *rows, Py_ssize_t n, int64_t lowest, int64_t count)
{
    for (Py_ssize_t i = 0; i < n; i++)
        if (rows[i] < lowest || rows[i] >= count) {
            PyErr_Format(PyExc_IndexError, "row %lld of %lld", (long long)rows[i],
                         (long long)count);
            return 0;
        }
    return 1;
}

/* ---- vectors ---- */

WIDE static void decode(const uint8_t *codes, const int64_t *rows, Py_ssize_t n, Py_ssize_t d,
                        float *out)
{
    for (Py_ssize_t i = 0; i < n; i++) {
        if (i + AHEAD < n) {
            const uint8_t *next = codes + rows[i + AHEAD] * d * 2;
            for (Py_ssize_t at = 0; at < d * 2; at += 64)
                FETCH(next + at);
        }
        const uint8_t *code = codes + rows[i] * d * 2;
        uint32_t *vector = (uint32_t *)(out + i * d);
        for (Py_ssize_t j = 0; j < d; j++) {
            uint16_t upper;
            memcpy(&upper, code + 2 * j, 2);
            vector[j] = (uint32_t)upper << 16;
        }
    }
}

static PyObject *decoded(PyObject *self, PyObject *const *given, Py_ssize_t count)
{
    Arrays arrays = {.count = 0};
    const uint8_t *codes;
    const int64_t *rows;
    float *out;
    Py_ssize_t bytes, n, size;
    if (!is_count(count, 3, "decoded"))
        return NULL;
    if ((bytes = U8(given[0], &codes)) < 0 || (n = I64(given[1], &rows)) < 0 ||
        (size = F32_OUT(given[2], &out)) < 0)
        return failed(&arrays, "");
    Py_ssize_t d = n ? size / n : 1;
    if (d < 1 || d * n != size)
        return failed(&arrays, "rows and vectors differ in number");
    if (!within(rows, n, 0, bytes / (2 * d)))
        return failed(&arrays, "");
    decode(codes, rows, n, d, out);
    return done(&arrays);
}

/* LANES numbers at once, whatever the machine has for that. */
typedef float Lanes __attribute__((vector_size(LANES * sizeof(float)), aligned(4), may_alias));

#define AT(vector, place) (*(const Lanes *)((vector) + (place)))

typedef float Half __attribute__((vector_size(LANES * sizeof(float) / 2)));
typedef float Quarter __attribute__((vector_size(LANES * sizeof(float) / 4)));

/* The sum of the lanes: halves, quarters, then one by one. */
static inline __attribute__((always_inline)) float added(Lanes lanes)
{
    Half half, other_half;
    memcpy(&half, &lanes, sizeof half);
    memcpy(&other_half, (const char *)&lanes + sizeof half, sizeof half);
    half += other_half;
    Quarter quarter, other_quarter;
    memcpy(&quarter, &half, sizeof quarter);
    memcpy(&other_quarter, (const char *)&half + sizeof quarter, sizeof quarter);
    quarter += other_quarter;
    return (quarter[0] + quarter[2]) + (quarter[1] + quarter[3]);
}

/* One row with one direction. */
WIDE static void product(const float *x, const float *a, Py_ssize_t d, float *out)
{
    Py_ssize_t whole = d - d % LANES;
    Lanes sum = {0}, left = {0}, right = {0};
    for (Py_ssize_t at = 0; at < whole; at += LANES)
        sum += AT(x, at) * AT(a, at);
    for (Py_ssize_t at = whole; at < d; at++)
        left[at - whole] = x[at], right[at - whole] = a[at];
    *out = added(sum + left * right);
}

/* Two rows with four directions: each number is read once for several products. */
WIDE static void eight_products(const float *x, const float *a, Py_ssize_t d, Py_ssize_t k,
                                float *out)
{
    const float *y = x + d, *b = a + d, *c = b + d, *e = c + d;
    Py_ssize_t whole = d - d % LANES;
    Lanes xa = {0}, xb = {0}, xc = {0}, xe = {0}, ya = {0}, yb = {0}, yc = {0}, ye = {0};
    for (Py_ssize_t at = 0; at < whole; at += LANES) {
        Lanes one = AT(x, at), other = AT(y, at);
        xa += one * AT(a, at), ya += other * AT(a, at);
        xb += one * AT(b, at), yb += other * AT(b, at);
        xc += one * AT(c, at), yc += other * AT(c, at);
        xe += one * AT(e, at), ye += other * AT(e, at);
    }
    if (whole < d) {
        Lanes v[6] = {{0}};
        const float *rest[6] = {x, y, a, b, c, e};
        for (int i = 0; i < 6; i++)
            for (Py_ssize_t at = whole; at < d; at++)
                v[i][at - whole] = rest[i][at];
        xa += v[0] * v[2], xb += v[0] * v[3], xc += v[0] * v[4], xe += v[0] * v[5];
        ya += v[1] * v[2], yb += v[1] * v[3], yc += v[1] * v[4], ye += v[1] * v[5];
    }
    out[0] = added(xa), out[1] = added(xb), out[2] = added(xc), out[3] = added(xe);
    out += k;
    out[0] = added(ya), out[1] = added(yb), out[2] = added(yc), out[3] = added(ye);
}

static void products(const float *vectors, Py_ssize_t n, Py_ssize_t d, const float *towards,
                     Py_ssize_t k, float *out)
{
    Py_ssize_t i = 0;
    for (; i + 2 <= n; i += 2) {
        Py_ssize_t j = 0;
        for (; j + 4 <= k; j += 4)
            eight_products(vectors + i * d, towards + j * d, d, k, out + i * k + j);
        for (; j < k; j++) {
            product(vectors + i * d, towards + j * d, d, out + i * k + j);
            product(vectors + (i + 1) * d, towards + j * d, d, out + (i + 1) * k + j);
        }
    }
    for (; i < n; i++)
        for (Py_ssize_t j = 0; j < k; j++)
            product(vectors + i * d, towards + j * d, d, out + i * k + j);
}

static PyObject *dots(PyObject *self, PyObject *const *given, Py_ssize_t count)
{
    Arrays arrays = {.count = 0};
    const float *vectors, *towards;
    float *out;
    Py_ssize_t left, right, size;
    if (!is_count(count, 4, "dots"))
        return NULL;
    Py_ssize_t d = PyLong_AsSsize_t(given[0]);
    if (d < 1 || (left = F32(given[1], &vectors)) < 0 || (right = F32(given[2], &towards)) < 0 ||
        (size = F32_OUT(given[3], &out)) < 0)
        return failed(&arrays, "vectors have no dimensions");
    Py_ssize_t n = left / d, k = right / d;
    if (n * d != left || k * d != right || n * k != size)
        return failed(&arrays, "vectors differ in length");
    if (left * k >= MANY) {
        Py_BEGIN_ALLOW_THREADS
        products(vectors, n, d, towards, k, out);
        Py_END_ALLOW_THREADS
    } else
        products(vectors, n, d, towards, k, out);
    return done(&arrays);
}

WIDE static void summed(const float *vectors, const float *worth, Py_ssize_t n, Py_ssize_t d,
                        float *out)
{
    memset(out, 0, d * sizeof(float));
    for (Py_ssize_t i = 0; i < n; i++) {
        const float *x = vectors + i * d;
        for (Py_ssize_t j = 0; j < d; j++)
            out[j] += worth[i] * x[j];
    }
}

static PyObject *weighed_sum(PyObject *self, PyObject *const *given, Py_ssize_t count)
{
    Arrays arrays = {.count = 0};
    const float *vectors, *worth;
    float *out;
    Py_ssize_t size, n, d;
    if (!is_count(count, 3, "weighed_sum"))
        return NULL;
    if ((size = F32(given[0], &vectors)) < 0 || (n = F32(given[1], &worth)) < 0 ||
        (d = F32_OUT(given[2], &out)) < 0)
        return failed(&arrays, "");
    if (n * d != size)
        return failed(&arrays, "vectors and weights differ in number");
    summed(vectors, worth, n, d, out);
    return done(&arrays);
}

static PyObject *nearnesses(PyObject *self, PyObject *const *given, Py_ssize_t count)
{
    Arrays arrays = {.count = 0};
    const float *middle, *lengths;
    float *cosines;
    double *nearest;
    Py_ssize_t k, n, size, most;
    if (!is_count(count, 4, "nearnesses"))
        return NULL;
    if ((k = F32(given[0], &middle)) < 0 || (n = F32(given[1], &lengths)) < 0 ||
        (size = F32_OUT(given[2], &cosines)) < 0 || (most = F64_OUT(given[3], &nearest)) < 0)
        return failed(&arrays, "");
    if (n * k != size || most != n || k < 1)
        return failed(&arrays, "cosines differ in number");
    for (Py_ssize_t i = 0; i < n; i++) {
        float *row = cosines + i * k, best = -INFINITY;
        for (Py_ssize_t j = 0; j < k; j++) {
            row[j] = (row[j] - middle[j]) / lengths[i];
            if (row[j] > best || row[j] != row[j]) /* what is no number stays */
                best = row[j];
        }
        nearest[i] = best;
    }
    return done(&arrays);
}

/* ---- words, keys, counts ---- */

static int has(const uint32_t *sorted, Py_ssize_t count, uint32_t value)
{
    Py_ssize_t low = 0, high = count;
    while (low < high) {
        Py_ssize_t middle = (low + high) / 2;
        if (sorted[middle] < value)
            low = middle + 1;
        else
            high = middle;
    }
    return low < count && sorted[low] == value;
}

/* The arrays of a Ragged and the rows that are asked of it. */
typedef struct {
    const uint32_t *values;
    const int64_t *at, *rows;
    Py_ssize_t n, total;
} Runs;

static int take_runs(Arrays *arrays, PyObject *const *given, Runs *runs)
{
    Py_ssize_t offsets;
    if ((runs->total = take(arrays, given[0], "IL", 4, 0, &runs->values)) < 0 ||
        (offsets = take(arrays, given[1], "lq", 8, 0, &runs->at)) < 0 ||
        (runs->n = take(arrays, given[2], "lq", 8, 0, &runs->rows)) < 0 ||
        !within(runs->rows, runs->n, 0, offsets - 1))
        return 0;
    for (Py_ssize_t i = 0; i < runs->n; i++)
        FETCH(runs->at + runs->rows[i]);
    for (Py_ssize_t i = 0; i < runs->n; i++) {
        int64_t start = runs->at[runs->rows[i]], end = runs->at[runs->rows[i] + 1];
        if (start < 0 || end < start || end > runs->total) {
            PyErr_SetString(PyExc_IndexError, "a run ends outside its values");
            return 0;
        }
        FETCH(runs->values + start);
    }
    return 1;
}

static PyObject *counted(PyObject *self, PyObject *const *given, Py_ssize_t count)
{
    Arrays arrays = {.count = 0};
    Runs runs;
    const uint32_t *wanted;
    int64_t *matched, *lengths;
    Py_ssize_t k, n, m;
    if (!is_count(count, 6, "counted"))
        return NULL;
    if (!take_runs(&arrays, given, &runs) || (k = U32(given[3], &wanted)) < 0 ||
        (n = I64_OUT(given[4], &matched)) < 0 || (m = I64_OUT(given[5], &lengths)) < 0)
        return failed(&arrays, "");
    if (n != runs.n || m != n)
        return failed(&arrays, "counts and rows differ in number");
    for (Py_ssize_t i = 0; i < n; i++) {
        int64_t start = runs.at[runs.rows[i]], end = runs.at[runs.rows[i] + 1], found = 0;
        for (int64_t at = start; at < end; at++)
            found += has(wanted, k, runs.values[at]);
        matched[i] = found;
        lengths[i] = end - start;
    }
    return done(&arrays);
}

static double share_of(const void *keys, int wide, const double *shares, Py_ssize_t count,
                       uint64_t key)
{
    Py_ssize_t low = 0, high = count;
    while (low < high) {
        Py_ssize_t middle = (low + high) / 2;
        uint64_t there =
            wide ? ((const uint64_t *)keys)[middle] : ((const uint32_t *)keys)[middle];
        if (there < key)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == count)
        return 0.0;
    uint64_t there = wide ? ((const uint64_t *)keys)[low] : ((const uint32_t *)keys)[low];
    return there == key ? shares[low] : 0.0;
}

static PyObject *shares(PyObject *self, PyObject *const *given, Py_ssize_t count)
{
    Arrays arrays = {.count = 0};
    const uint64_t *table, *keys;
    const int64_t *rows;
    const double *worth;
    double *out;
    Py_ssize_t size, n, k, m, o;
    if (!is_count(count, 5, "shares"))
        return NULL;
    if ((size = U64(given[0], &table)) < 0 || (n = I64(given[1], &rows)) < 0 ||
        (k = U64(given[2], &keys)) < 0 || (m = F64(given[3], &worth)) < 0 ||
        (o = F64_OUT(given[4], &out)) < 0 || !within(rows, n, 0, size))
        return failed(&arrays, "");
    if (k != m || o != n)
        return failed(&arrays, "keys and shares differ in number");
    for (Py_ssize_t i = 0; i < n; i++)
        FETCH(table + rows[i]);
    for (Py_ssize_t i = 0; i < n; i++)
        out[i] = share_of(keys, 1, worth, k, table[rows[i]]);
    return done(&arrays);
}

static PyObject *mean_shares(PyObject *self, PyObject *const *given, Py_ssize_t count)
{
    Arrays arrays = {.count = 0};
    Runs runs;
    const uint32_t *keys;
    const double *worth;
    double *out;
    Py_ssize_t k, m, n;
    if (!is_count(count, 6, "mean_shares"))
        return NULL;
    if (!take_runs(&arrays, given, &runs) || (k = U32(given[3], &keys)) < 0 ||
        (m = F64(given[4], &worth)) < 0 || (n = F64_OUT(given[5], &out)) < 0)
        return failed(&arrays, "");
    if (k != m || n != runs.n)
        return failed(&arrays, "keys and shares differ in number");
    for (Py_ssize_t i = 0; i < n; i++) {
        int64_t start = runs.at[runs.rows[i]], end = runs.at[runs.rows[i] + 1];
        double total = 0.0;
        for (int64_t at = start; at < end; at++)
            total += share_of(keys, 0, worth, k, runs.values[at]);
        out[i] = end > start ? total / (double)(end - start) : 0.0;
    }
    return done(&arrays);
}

static PyObject *price_nearness(PyObject *self, PyObject *const *given, Py_ssize_t count)
{
    Arrays arrays = {.count = 0};
    const float *prices;
    const int64_t *rows;
    double *out;
    Py_ssize_t size, n, o;
    if (!is_count(count, 4, "price_nearness"))
        return NULL;
    double usual = PyFloat_AsDouble(given[2]);
    if (PyErr_Occurred() || (size = F32(given[0], &prices)) < 0 ||
        (n = I64(given[1], &rows)) < 0 || (o = F64_OUT(given[3], &out)) < 0 ||
        !within(rows, n, 0, size))
        return failed(&arrays, "");
    if (o != n)
        return failed(&arrays, "prices and rows differ in number");
    for (Py_ssize_t i = 0; i < n; i++)
        FETCH(prices + rows[i]);
    for (Py_ssize_t i = 0; i < n; i++) {
        double price = prices[rows[i]];
        out[i] = price > 0 ? exp(-fabs(log(price) - usual)) : 0.0;
    }
    return done(&arrays);
}

static PyObject *amounts(PyObject *self, PyObject *const *given, Py_ssize_t count)
{
    Arrays arrays = {.count = 0};
    const int64_t *table, *rows;
    const int32_t *numbers;
    const double *worth;
    double *out;
    Py_ssize_t size, n, k, m, o;
    if (!is_count(count, 5, "amounts"))
        return NULL;
    if ((size = I64(given[0], &table)) < 0 || (n = I64(given[1], &rows)) < 0 ||
        (k = take(&arrays, given[2], "il", 4, 0, &numbers)) < 0 ||
        (m = F64(given[3], &worth)) < 0 || (o = F64_OUT(given[4], &out)) < 0 ||
        !within(rows, n, -1, size - 1))
        return failed(&arrays, "");
    if (k != m || o != n)
        return failed(&arrays, "numbers and amounts differ in number");
    for (Py_ssize_t i = 0; i < n; i++)
        FETCH(table + (rows[i] < 0 ? size - 1 : rows[i]));
    for (Py_ssize_t i = 0; i < n; i++) {
        int64_t number = table[rows[i] < 0 ? size - 1 : rows[i]];
        Py_ssize_t low = 0, high = k;
        while (low < high) {
            Py_ssize_t middle = (low + high) / 2;
            if (numbers[middle] < number)
                low = middle + 1;
            else
                high = middle;
        }
        out[i] = low < k && numbers[low] == number ? worth[low] : 0.0;
    }
    return done(&arrays);
}

/* ---- numbers of one request ---- */

static PyObject *is_finite(PyObject *self, PyObject *given)
{
    Arrays arrays = {.count = 0};
    const double *values;
    Py_ssize_t n = F64(given, &values);
    if (n < 0)
        return failed(&arrays, "");
    double zero = 0.0; /* what is no finite number makes it one that is none */
    for (Py_ssize_t i = 0; i < n; i++)
        zero += values[i] * 0.0;
    release(&arrays);
    return PyBool_FromLong(zero == 0.0);
}

/* What `integral` is at `score`, between the sorted scores that it is known at; as numpy.interp. */
static double integral_at(const double *scores, const double *integral, Py_ssize_t n, double score)
{
    if (score <= scores[0])
        return integral[0];
    if (score >= scores[n - 1])
        return integral[n - 1];
    Py_ssize_t low = 0, high = n - 1; /* scores[low] <= score < scores[high] */
    while (high - low > 1) {
        Py_ssize_t middle = (low + high) / 2;
        if (scores[middle] <= score)
            low = middle;
        else
            high = middle;
    }
    double slope = (integral[high] - integral[low]) / (scores[high] - scores[low]);
    return slope * (score - scores[low]) + integral[low];
}

static PyObject *even_worth(PyObject *self, PyObject *const *given, Py_ssize_t count)
{
    Arrays arrays = {.count = 0};
    const double *first, *scores, *integral;
    float *out;
    Py_ssize_t n, m, k, o;
    if (!is_count(count, 5, "even_worth"))
        return NULL;
    double even = PyFloat_AsDouble(given[3]);
    if (PyErr_Occurred() || (n = F64(given[0], &first)) < 0 || (m = F64(given[1], &scores)) < 0 ||
        (k = F64(given[2], &integral)) < 0 || (o = F32_OUT(given[4], &out)) < 0)
        return failed(&arrays, "");
    if (m != k || o != n || m < 2)
        return failed(&arrays, "scores differ in number");
    for (Py_ssize_t i = 0; i < n; i++) {
        double upper = integral_at(scores, integral, m, first[i] + even);
        double lower = integral_at(scores, integral, m, first[i] - even);
        out[i] = (float)((upper - lower) / (2 * even));
    }
    return done(&arrays);
}

#define AS_IT_IS 0
#define STRETCHED 1
#define SCALED 2

/* Add weight x column, made comparable in one of the ways of columns.py, to `out`. */
WIDE static void add_column(const double *values, Py_ssize_t n, int way, double unit, double most,
                            double weight, double *out)
{
    double low = values[0], high = values[0];
    if (way != AS_IT_IS)
        for (Py_ssize_t i = 1; i < n; i++) {
            low = values[i] < low ? values[i] : low;
            high = values[i] > high ? values[i] : high;
        }
    if (way == STRETCHED) { /* halved first, so that no spread overflows */
        double least = low * 0.5, spread = high * 0.5 - least;
        spread = spread > 0 ? spread : 1.0;
        for (Py_ssize_t i = 0; i < n; i++)
            out[i] += (values[i] * 0.5 - least) / spread * weight;
    } else if (way == SCALED) {
        for (Py_ssize_t i = 0; i < n; i++) {
            double scaled = (values[i] - low) / unit;
            scaled = scaled < 0.0 ? 0.0 : scaled;
            out[i] += (scaled > most ? most : scaled) * weight;
        }
    } else
        for (Py_ssize_t i = 0; i < n; i++) {
            double value = values[i] < -most ? -most : values[i];
            out[i] += (value > most ? most : value) * weight;
        }
}

static PyObject *added_up(PyObject *self, PyObject *const *given, Py_ssize_t count)
{
    Arrays arrays = {.count = 0};
    double *out;
    Py_ssize_t n;
    if (!is_count(count, 3, "added_up"))
        return NULL;
    double most = PyFloat_AsDouble(given[1]);
    if (PyErr_Occurred() || !PyList_Check(given[0]) || (n = F64_OUT(given[2], &out)) < 0)
        return failed(&arrays, "columns come as a list");
    for (Py_ssize_t i = 0; i < n; i++)
        out[i] = -0.0; /* so that a sum of -0.0 is what numpy has for it */
    for (Py_ssize_t j = 0; n && j < PyList_GET_SIZE(given[0]); j++) {
        PyObject *object;
        const double *values;
        int way;
        double unit, weight;
        if (!PyArg_ParseTuple(PyList_GET_ITEM(given[0], j), "Oidd", &object, &way, &unit, &weight))
            return failed(&arrays, "");
        Py_ssize_t size = F64(object, &values);
        if (size != n)
            return failed(&arrays, "columns differ in length");
        add_column(values, n, way, unit, most, weight, out);
        PyBuffer_Release(&arrays.views[--arrays.count]);
    }
    for (Py_ssize_t i = 0; i < n; i++)
        out[i] += 0.0; /* no sum is -0.0 */
    return done(&arrays);
}

/* ---- ids ---- */

static PyObject *rows_met(PyObject *self, PyObject *const *given, Py_ssize_t count)
{
    Arrays arrays = {.count = 0};
    int64_t *out;
    Py_ssize_t n;
    if (!is_count(count, 4, "rows_met"))
        return NULL;
    long long absent = PyLong_AsLongLong(given[2]);
    if (PyErr_Occurred() || !PyDict_Check(given[0]) || !PyList_Check(given[1]) ||
        (n = I64_OUT(given[3], &out)) < 0 || n != PyList_GET_SIZE(given[1]))
        return failed(&arrays, "ids come as a list, their rows as a dict");
    Py_ssize_t strange = 0;
    for (Py_ssize_t i = 0; i < n; i++) {
        PyObject *row = PyDict_GetItemWithError(given[0], PyList_GET_ITEM(given[1], i));
        if (row == NULL && PyErr_Occurred())
            return failed(&arrays, "");
        out[i] = row ? PyLong_AsLongLong(row) : absent;
        strange += row == NULL;
    }
    release(&arrays);
    return PyErr_Occurred() ? NULL : PyLong_FromSsize_t(strange);
}

static PyObject *may_be(PyObject *self, PyObject *const *given, Py_ssize_t count)
{
    if (!is_count(count, 2, "may_be"))
        return NULL;
    Py_ssize_t size = PyLong_AsSsize_t(given[1]);
    if (PyErr_Occurred())
        return NULL;
    if (!PyList_Check(given[0])) {
        PyErr_SetString(PyExc_TypeError, "ids come as a list");
        return NULL;
    }
    PyObject *places = PyList_New(0);
    for (Py_ssize_t i = 0; places && i < PyList_GET_SIZE(given[0]); i++) {
        PyObject *text = PyList_GET_ITEM(given[0], i);
        if (PyUnicode_Check(text) && PyUnicode_GET_LENGTH(text) != size &&
            PyUnicode_IS_ASCII(text))
            continue;
        PyObject *place = PyLong_FromSsize_t(i);
        if (place == NULL || PyList_Append(places, place) < 0)
            Py_CLEAR(places);
        Py_XDECREF(place);
    }
    return places;
}

#define KERNEL(name) {#name, (PyCFunction)(void (*)(void))name, METH_FASTCALL, NULL}

static PyMethodDef functions[] = {
    KERNEL(decoded),     KERNEL(dots),           KERNEL(weighed_sum), KERNEL(nearnesses),
    KERNEL(counted),     KERNEL(shares),         KERNEL(mean_shares), KERNEL(price_nearness),
    KERNEL(amounts),     KERNEL(even_worth),     KERNEL(added_up),    KERNEL(rows_met),
    KERNEL(may_be),      {"is_finite", is_finite, METH_O, NULL},      {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT, "indexes.kernels._compiled", NULL, 0, functions, NULL, NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit__compiled(void)
{
    return PyModule_Create(&module);
}
