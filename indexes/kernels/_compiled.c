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
#define PROGRAMS 32  /* of one call */
#define MOST (2 + 5 * PROGRAMS) /* arrays of one call: a program has five at most */
#define FIRST_PRIME 0x9E3779B97F4A7C15u
#define SECOND_PRIME 0xD6E8FEB86659FD93u

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
    Arrays arrays;
    arrays.count = 0;
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
WIDE static void eight_products(const float *x, const float *const *towards, Py_ssize_t d,
                                Py_ssize_t k, float *out)
{
    const float *y = x + d, *a = towards[0], *b = towards[1], *c = towards[2], *e = towards[3];
    Py_ssize_t whole = d - d % LANES;
    Lanes xa = {0}, xb = {0}, xc = {0}, xe = {0}, ya = {0}, yb = {0}, yc = {0}, ye = {0};
    for (Py_ssize_t at = 0; at < whole; at += LANES) {
        Lanes one = AT(x, at), other = AT(y, at), towards_a = AT(a, at), towards_b = AT(b, at);
        Lanes towards_c = AT(c, at), towards_e = AT(e, at);
        xa += one * towards_a, ya += other * towards_a;
        xb += one * towards_b, yb += other * towards_b;
        xc += one * towards_c, yc += other * towards_c;
        xe += one * towards_e, ye += other * towards_e;
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

/* All rows with all k directions. */
static void products(const float *vectors, Py_ssize_t n, Py_ssize_t d, const float *const *towards,
                     Py_ssize_t k, float *out)
{
    Py_ssize_t i = 0;
    for (; i + 2 <= n; i += 2) {
        Py_ssize_t j = 0;
        for (; j + 4 <= k; j += 4)
            eight_products(vectors + i * d, towards + j, d, k, out + i * k + j);
        for (; j < k; j++) {
            product(vectors + i * d, towards[j], d, out + i * k + j);
            product(vectors + (i + 1) * d, towards[j], d, out + (i + 1) * k + j);
        }
    }
    for (; i < n; i++)
        for (Py_ssize_t j = 0; j < k; j++)
            product(vectors + i * d, towards[j], d, out + i * k + j);
}

static PyObject *dots(PyObject *self, PyObject *const *given, Py_ssize_t count)
{
    Arrays arrays;
    arrays.count = 0;
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
    const float **each = PyMem_RawMalloc((k + 1) * sizeof(float *));
    if (each == NULL)
        return PyErr_NoMemory(), failed(&arrays, "");
    for (Py_ssize_t j = 0; j < k; j++)
        each[j] = towards + j * d;
    if (left * k >= MANY) {
        Py_BEGIN_ALLOW_THREADS
        products(vectors, n, d, each, k, out);
        Py_END_ALLOW_THREADS
    } else
        products(vectors, n, d, each, k, out);
    PyMem_RawFree(each);
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

/* The cosine of each vector with the mean of all, each times its worth; 0 where that has no length. */
static PyObject *likeness(PyObject *self, PyObject *const *given, Py_ssize_t count)
{
    Arrays arrays;
    arrays.count = 0;
    const float *vectors, *worth;
    double *out;
    Py_ssize_t size, n, m;
    if (!is_count(count, 3, "likeness"))
        return NULL;
    if ((size = F32(given[0], &vectors)) < 0 || (n = F32(given[1], &worth)) < 0 ||
        (m = F64_OUT(given[2], &out)) < 0)
        return failed(&arrays, "");
    Py_ssize_t d = n ? size / n : 0;
    if (n * d != size || m != n)
        return failed(&arrays, "vectors and weights differ in number");
    float *mean = PyMem_RawMalloc((d + 1) * sizeof(float));
    if (mean == NULL)
        return PyErr_NoMemory(), failed(&arrays, "");
    Py_BEGIN_ALLOW_THREADS
    summed(vectors, worth, n, d, mean);
    float squares = 0.0f, length;
    if (d)
        product(mean, mean, d, &squares);
    length = sqrtf(squares);
    for (Py_ssize_t j = 0; j < d; j++)
        mean[j] = length == 0.0f ? 0.0f : mean[j] / length;
    for (Py_ssize_t i = 0; i < n; i++) {
        float cosine = 0.0f;
        if (d)
            product(vectors + i * d, mean, d, &cosine);
        out[i] = cosine;
    }
    Py_END_ALLOW_THREADS
    PyMem_RawFree(mean);
    return done(&arrays);
}

/* ---- what is read of items: a table of programs, one column each ---- */

/* In the order of numpy_kernels.py. */
enum { TAKEN, SAME, COUNTED, WHOLE, SHARE, MEAN_SHARE, PRICE, AMOUNT, LOOKED_UP, DOT, NEAREST, KINDS };

/* One column. table: by row, of `size` rows; values: of a Ragged, each row's from at[row] to
   at[row + 1]; keys: k of them, sorted, with what each is worth; towards: k directions, their
   middles and room for the cosines of two vectors with them. */
typedef struct {
    int kind;
    char type;
    const void *table, *keys, *worth;
    const uint32_t *values;
    const int64_t *at;
    const float *vectors, *lengths, **towards;
    float *middles, *cosines;
    Py_ssize_t size, total, k, d;
    uint64_t key;
    double usual;
    double *out;
} Program;

#define KEYS 1024 /* of a program, which are fetched ahead */
#define BLOCK 256 /* rows whose memory is fetched for all programs before the first is run */

/* What a key is worth; 0 for one that is not there. No branch depends on what is compared: every one
   of these would be guessed wrong half the time, which costs more than the rest. */
#define WORTH_OF(name, type, number, bits_of)                                                      \
    static inline double name(const Program *p, type key)                                          \
    {                                                                                              \
        const type *keys = p->keys, *first = keys;                                                 \
        Py_ssize_t count = p->k;                                                                   \
        if (count == 0)                                                                            \
            return 0.0;                                                                            \
        while (count > 1) {                                                                        \
            Py_ssize_t half = count / 2;                                                           \
            first += half & -(Py_ssize_t)(first[half - 1] < key);                                  \
            count -= half;                                                                         \
        }                                                                                          \
        bits_of bits;                                                                              \
        memcpy(&bits, (const number *)p->worth + (first - keys), sizeof bits);                     \
        bits &= -(bits_of)(*first == key);                                                         \
        number worth;                                                                              \
        memcpy(&worth, &bits, sizeof worth);                                                       \
        return worth;                                                                              \
    }
WORTH_OF(worth32, uint32_t, double, uint64_t)
WORTH_OF(worth64, uint64_t, double, uint64_t)
WORTH_OF(worth_of_number, int32_t, float, uint32_t)

static inline int is_wanted(const Program *p, uint32_t value)
{
    const uint32_t *first = p->keys;
    Py_ssize_t count = p->k;
    int wanted = 0;
    if (count <= 8) { /* as in most queries */
        for (Py_ssize_t j = 0; j < count; j++)
            wanted |= first[j] == value;
        return wanted;
    }
    while (count > 1) {
        Py_ssize_t half = count / 2;
        first += half & -(Py_ssize_t)(first[half - 1] < value);
        count -= half;
    }
    return *first == value;
}

static inline double number_at(const Program *p, int64_t row)
{
    switch (p->type) {
    case 'b':
        return ((const int8_t *)p->table)[row];
    case 'f':
        return ((const float *)p->table)[row];
    case 'd':
        return ((const double *)p->table)[row];
    default:
        return ((const int32_t *)p->table)[row];
    }
}

/* A column of a Ragged at one row. */
static double of_run(const Program *p, int64_t row, int *outside)
{
    int64_t start = p->at[row], end = p->at[row + 1];
    if (start < 0 || end < start || end > p->total) {
        *outside = 1;
        return 0.0;
    }
    if (p->kind == MEAN_SHARE) {
        double total = 0.0;
        for (int64_t at = start; at < end; at++)
            total += worth32(p, p->values[at]);
        return end > start ? total / (double)(end - start) : 0.0;
    }
    int64_t wanted = 0;
    for (int64_t at = start; at < end; at++)
        wanted += is_wanted(p, p->values[at]);
    if (p->kind == WHOLE)
        return end > start && wanted == end - start;
    return (double)wanted;
}

/* A column of a table at one row. */
static double of_row(const Program *p, int64_t row)
{
    double price;
    int32_t number;
    switch (p->kind) {
    case TAKEN:
        return number_at(p, row);
    case SAME:
        return ((const uint64_t *)p->table)[row] == p->key;
    case LOOKED_UP:
        number = ((const int32_t *)p->table)[row];
        return number >= 0 && number < p->k ? ((const double *)p->worth)[number] : 0.0;
    case SHARE:
        return worth64(p, ((const uint64_t *)p->table)[row]);
    case PRICE:
        price = ((const float *)p->table)[row];
        return price > 0 ? exp(-fabs(log(price) - p->usual)) : 0.0;
    default:
        return worth_of_number(p, ((const int32_t *)p->table)[row]);
    }
}

/* The largest of one vector's cosines, once they are made such. */
static double nearest_of(const Program *p, Py_ssize_t i, const float *cosines)
{
    float best = -INFINITY;
    for (Py_ssize_t j = 0; j < p->k; j++) {
        float away = cosines[j] - p->middles[j];
        if (away > best || away != away) /* what is no number stays */
            best = away;
    }
    return best / p->lengths[i];
}

/* Rows `from` to `to` of one column; whether every run lies within its values. */
static int run_program(const Program *p, const int64_t *rows, Py_ssize_t from, Py_ssize_t to)
{
    int outside = 0;
    if (p->kind == DOT)
        products(p->vectors + from * p->d, to - from, p->d, p->towards, 1, p->cosines);
    for (Py_ssize_t i = from; i < to; i++) {
        if (p->kind == DOT)
            p->out[i] = p->cosines[i - from];
        else if (p->kind == NEAREST) {
            if ((i - from) % 2 == 0) /* two rows at once */
                products(p->vectors + i * p->d, to - i < 2 ? 1 : 2, p->d, p->towards, p->k,
                         p->cosines);
            p->out[i] = nearest_of(p, i, p->cosines + (i - from) % 2 * p->k);
        } else if (rows[i] < 0)
            p->out[i] = 0.0;
        else
            p->out[i] = p->at ? of_run(p, rows[i], &outside) : of_row(p, rows[i]);
    }
    return !outside;
}

static Py_ssize_t width_of(const Program *p)
{
    if (p->kind == TAKEN)
        return p->type == 'b' ? 1 : p->type == 'd' ? 8 : 4;
    return p->kind == SAME || p->kind == SHARE ? 8 : 4;
}

/* Ask for the memory of these rows, of all programs, before anything is read of it: what is met for
   the first time is waited for once and not row by row. */
static void fetch_ahead(const Program *programs, int count, const int64_t *rows, Py_ssize_t from,
                        Py_ssize_t to)
{
    for (int j = 0; j < count; j++) {
        const Program *p = programs + j;
        if (p->vectors)
            continue;
        Py_ssize_t most = p->k < KEYS ? p->k : KEYS;
        for (Py_ssize_t i = 0; p->keys && !from && i < most; i += 8) {
            FETCH((const char *)p->keys + i * (p->kind == SHARE ? 8 : 4));
            FETCH((const char *)(p->worth ? p->worth : p->keys) + i * (p->kind == AMOUNT ? 4 : 8));
        }
        const char *start = p->at ? (const char *)p->at : p->table;
        Py_ssize_t width = p->at ? 8 : width_of(p);
        for (Py_ssize_t i = from; i < to; i++)
            if (rows[i] >= 0)
                FETCH(start + rows[i] * width);
    }
    for (int j = 0; j < count; j++)
        if (programs[j].at)
            for (Py_ssize_t i = from; i < to; i++)
                if (rows[i] >= 0)
                    FETCH(programs[j].values + programs[j].at[rows[i]]);
}


#define ARRAY(kinds, size, data) take(arrays, part[at++], kinds, size, 0, data)

/* Which arrays a program reads, by its kind, and whether they fit each other. */
static int read_table(Arrays *arrays, Program *p, PyObject *const *part, Py_ssize_t parts)
{
    Py_ssize_t at = 1;
    if (p->kind == TAKEN) {
        Py_buffer *view = &arrays->views[arrays->count];
        if (parts != 2 || PyObject_GetBuffer(part[1], view, PyBUF_C_CONTIGUOUS | PyBUF_FORMAT) < 0)
            return 0;
        arrays->count++;
        p->table = view->buf, p->size = view->len / view->itemsize;
        p->type = view->format[strlen(view->format) - 1];
        return (p->type == 'b' && view->itemsize == 1) || (p->type == 'd' && view->itemsize == 8) ||
               (strchr("fil", p->type) && view->itemsize == 4);
    }
    if (p->kind == SAME) {
        if (parts != 3 || (p->size = ARRAY("LQ", 8, &p->table)) < 0)
            return 0;
        p->key = PyLong_AsUnsignedLongLong(part[at]);
        return !PyErr_Occurred();
    }
    if (p->kind == PRICE) {
        if (parts != 3 || (p->size = ARRAY("f", 4, &p->table)) < 0)
            return 0;
        p->usual = PyFloat_AsDouble(part[at]);
        return !PyErr_Occurred();
    }
    if (p->kind == LOOKED_UP)
        return parts == 3 && (p->size = ARRAY("il", 4, &p->table)) >= 0 &&
               (p->k = ARRAY("d", 8, &p->worth)) >= 0;
    int numbers = p->kind == AMOUNT;
    if (parts != 4 ||
        (p->size = numbers ? ARRAY("il", 4, &p->table) : ARRAY("LQ", 8, &p->table)) < 0 ||
        (p->k = numbers ? ARRAY("il", 4, &p->keys) : ARRAY("LQ", 8, &p->keys)) < 0)
        return 0;
    return (numbers ? ARRAY("f", 4, &p->worth) : ARRAY("d", 8, &p->worth)) == p->k;
}

static int read_runs(Arrays *arrays, Program *p, PyObject *const *part, Py_ssize_t parts)
{
    Py_ssize_t at = 1;
    if (parts != (p->kind == MEAN_SHARE ? 5 : 4) ||
        (p->total = ARRAY("IL", 4, &p->values)) < 0 || (p->size = ARRAY("lq", 8, &p->at)) < 0 ||
        (p->k = ARRAY("IL", 4, &p->keys)) < 0)
        return 0;
    p->size--;
    return p->kind != MEAN_SHARE || ARRAY("d", 8, &p->worth) == p->k;
}

static int read_vectors(Arrays *arrays, Program *p, PyObject *const *part, Py_ssize_t parts,
                        Py_ssize_t n)
{
    const float *table, *middles = NULL;
    const int64_t *places = NULL;
    Py_ssize_t at = 1, left, right;
    if (parts != (p->kind == DOT ? 3 : 6) || (left = ARRAY("f", 4, &p->vectors)) < 0 ||
        (right = ARRAY("f", 4, &table)) < 0)
        return 0;
    Py_ssize_t directions = 1;
    p->k = 1;
    if (p->kind == NEAREST &&
        ((directions = ARRAY("f", 4, &middles)) < 1 || (p->k = ARRAY("lq", 8, &places)) < 1 ||
         ARRAY("f", 4, &p->lengths) != n || !within(places, p->k, 0, directions)))
        return 0;
    p->d = right / directions;
    p->size = PY_SSIZE_T_MAX;
    if (p->d < 1 || directions * p->d != right || n * p->d != left)
        return 0;
    p->cosines = PyMem_RawMalloc((p->kind == DOT ? BLOCK : 3 * p->k) * sizeof(float));
    p->towards = PyMem_RawMalloc(p->k * sizeof(float *));
    if (p->cosines == NULL || p->towards == NULL)
        return 0;
    p->middles = p->cosines + 2 * p->k;
    for (Py_ssize_t j = 0; j < p->k; j++) {
        p->towards[j] = table + (places ? places[j] * p->d : 0);
        if (places)
            p->middles[j] = middles[places[j]];
    }
    return 1;
}

static int read_program(Arrays *arrays, Program *p, PyObject *given, Py_ssize_t n)
{
    memset(p, 0, sizeof *p);
    if (!PyTuple_Check(given) || PyTuple_GET_SIZE(given) < 2)
        return 0;
    PyObject *const *part = ((PyTupleObject *)given)->ob_item;
    Py_ssize_t parts = PyTuple_GET_SIZE(given);
    p->kind = PyLong_AsLong(part[0]);
    if (p->kind < 0 || p->kind >= KINDS)
        return 0;
    if (p->kind == DOT || p->kind == NEAREST)
        return read_vectors(arrays, p, part, parts, n);
    if (p->kind == COUNTED || p->kind == WHOLE || p->kind == MEAN_SHARE)
        return read_runs(arrays, p, part, parts);
    return read_table(arrays, p, part, parts);
}

static PyObject *filled(PyObject *self, PyObject *const *given, Py_ssize_t count)
{
    Arrays arrays;
    Program programs[PROGRAMS];
    const int64_t *rows;
    double *out;
    Py_ssize_t n, size;
    int fits = 1, taken = 0;
    arrays.count = 0;
    if (!is_count(count, 3, "filled"))
        return NULL;
    if (!PyList_Check(given[1]) || PyList_GET_SIZE(given[1]) > PROGRAMS ||
        (n = I64(given[0], &rows)) < 0 || (size = F64_OUT(given[2], &out)) < 0)
        return failed(&arrays, "programs come as a list, of at most 32");
    int wanted = (int)PyList_GET_SIZE(given[1]);
    fits = size == wanted * n;
    int64_t least = 0, most = -1;
    for (Py_ssize_t i = 0; i < n; i++) {
        least = rows[i] < least ? rows[i] : least;
        most = rows[i] > most ? rows[i] : most;
    }
    for (; fits && taken < wanted; taken++) {
        Program *p = programs + taken;
        fits = read_program(&arrays, p, PyList_GET_ITEM(given[1], taken), n);
        p->out = out + taken * n;
        if (fits && (least < -1 || most >= p->size)) {
            PyErr_Format(PyExc_IndexError, "rows from %lld to %lld of %lld", (long long)least,
                         (long long)most, (long long)p->size);
            fits = 0;
        }
    }
    int inside = 1;
    if (fits) {
        Py_BEGIN_ALLOW_THREADS
        for (Py_ssize_t from = 0; from < n; from += BLOCK) {
            Py_ssize_t to = from + BLOCK < n ? from + BLOCK : n;
            fetch_ahead(programs, wanted, rows, from, to);
            for (int j = 0; j < wanted; j++)
                inside &= run_program(programs + j, rows, from, to);
        }
        Py_END_ALLOW_THREADS
        if (!inside)
            PyErr_SetString(PyExc_IndexError, "a run ends outside its values");
    }
    while (taken--) {
        PyMem_RawFree(programs[taken].cosines);
        PyMem_RawFree(programs[taken].towards);
    }
    return fits && inside ? done(&arrays) : failed(&arrays, "the parts of a program do not fit");
}

/* ---- numbers of one request ---- */

static PyObject *is_finite(PyObject *self, PyObject *given)
{
    Arrays arrays;
    arrays.count = 0;
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
    Arrays arrays;
    const double *first, *sorted, *steps;
    float *out;
    Py_ssize_t n, m, k, o;
    arrays.count = 0;
    if (!is_count(count, 5, "even_worth"))
        return NULL;
    double even = PyFloat_AsDouble(given[3]);
    if (PyErr_Occurred() || (n = F64(given[0], &first)) < 0 || (m = F64(given[1], &sorted)) < 0 ||
        (k = F64(given[2], &steps)) < 0 || (o = F32_OUT(given[4], &out)) < 0)
        return failed(&arrays, "");
    if (m != n || k != n + 1 || o != n)
        return failed(&arrays, "scores differ in number");
    double *scores = PyMem_RawMalloc(2 * (n + 2) * sizeof(double)), *integral = scores + n + 2;
    if (scores == NULL)
        return PyErr_NoMemory(), failed(&arrays, "");
    if (n) {
        memcpy(scores + 1, sorted, n * sizeof(double));
        scores[0] = sorted[0] - even, scores[n + 1] = sorted[n - 1] + even;
        integral[0] = 0.0;
        for (Py_ssize_t i = 0; i <= n; i++)
            integral[i + 1] = integral[i] + (scores[i + 1] - scores[i]) * steps[i];
    }
    for (Py_ssize_t i = 0; i < n; i++) {
        double upper = integral_at(scores, integral, n + 2, first[i] + even);
        double lower = integral_at(scores, integral, n + 2, first[i] - even);
        out[i] = (float)((upper - lower) / (2 * even));
    }
    PyMem_RawFree(scores);
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
    Arrays arrays;
    arrays.count = 0;
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

/* 64 bits of an id's bytes, eight at a time; as numpy_kernels.hashed. */
static uint64_t hashed(const char *text, Py_ssize_t size)
{
    uint64_t hash = (uint64_t)size * FIRST_PRIME;
    for (Py_ssize_t at = 0; at < size; at += 8) {
        uint64_t word = 0;
        if (size - at >= 8)
            memcpy(&word, text + at, 8);
        else
            for (Py_ssize_t byte = size - at; byte--;)
                word = word << 8 | (unsigned char)text[at + byte];
        hash = (hash ^ word) * SECOND_PRIME;
        hash ^= hash >> 32;
    }
    return hash * FIRST_PRIME;
}

/* One id that is looked up, and where it may stand in the lookup. */
typedef struct {
    const char *text;
    Py_ssize_t size;
    uint64_t bucket;
    uint32_t from, to;
} Wanted;

/* The published lookup of ids: rows[buckets[b]] to rows[buckets[b + 1]] are those whose ids fall in
   bucket b; the id of a row is bytes[at[row]] to bytes[at[row + 1]]. */
typedef struct {
    const uint32_t *buckets, *rows;
    const int64_t *at;
    const char *bytes;
    Py_ssize_t places, items, length;
} Lookup;

/* Each step asks for the memory that the next one reads, of all ids; `out`: their rows, or -1. */
static void look_up(const Lookup *in, Wanted *ids, Py_ssize_t n, int64_t *out)
{
    for (Py_ssize_t i = 0; i < n; i++) {
        uint32_t from = in->buckets[ids[i].bucket], to = in->buckets[ids[i].bucket + 1];
        int sound = ids[i].text && from < to && to <= in->items;
        ids[i].from = sound ? from : 0, ids[i].to = sound ? to : 0;
        FETCH(in->rows + from);
    }
    for (Py_ssize_t i = 0; i < n; i++)
        if (ids[i].to)
            FETCH(in->at + in->rows[ids[i].from]);
    for (Py_ssize_t i = 0; i < n; i++)
        if (ids[i].to && in->rows[ids[i].from] < in->items)
            FETCH(in->bytes + in->at[in->rows[ids[i].from]]);
    for (Py_ssize_t i = 0; i < n; i++) {
        out[i] = -1;
        for (uint32_t place = ids[i].from; place < ids[i].to && out[i] < 0; place++) {
            int64_t row = in->rows[place];
            if (row >= in->items)
                continue;
            int64_t start = in->at[row], end = in->at[row + 1];
            if (start >= 0 && end - start == ids[i].size && end <= in->length &&
                !memcmp(in->bytes + start, ids[i].text, ids[i].size))
                out[i] = row;
        }
    }
}

static PyObject *rows_of(PyObject *self, PyObject *const *given, Py_ssize_t count)
{
    Arrays arrays;
    Lookup in;
    int64_t *out;
    Py_ssize_t n, ends;
    arrays.count = 0;
    if (!is_count(count, 6, "rows_of"))
        return NULL;
    if (!PyList_Check(given[0]) || (in.places = U32(given[1], &in.buckets)) < 0 ||
        (in.items = U32(given[2], &in.rows)) < 0 || (ends = I64(given[3], &in.at)) < 0 ||
        (in.length = U8(given[4], &in.bytes)) < 0 || (n = I64_OUT(given[5], &out)) < 0)
        return failed(&arrays, "ids come as a list");
    int bits = 1;
    while (bits < 32 && ((Py_ssize_t)1 << bits) < in.places - 1)
        bits++;
    if (n != PyList_GET_SIZE(given[0]) || (Py_ssize_t)1 << bits != in.places - 1 ||
        ends != in.items + 1)
        return failed(&arrays, "the lookup of ids is damaged");
    Wanted *ids = PyMem_Malloc((n + 1) * sizeof(Wanted));
    if (ids == NULL)
        return PyErr_NoMemory(), failed(&arrays, "");
    for (Py_ssize_t i = 0; i < n; i++) {
        PyObject *id = PyList_GET_ITEM(given[0], i);
        ids[i].bucket = ids[i].size = 0;
        ids[i].text = PyUnicode_Check(id) ? PyUnicode_AsUTF8AndSize(id, &ids[i].size) : NULL;
        if (ids[i].text == NULL) { /* half a character stands in no id */
            PyErr_Clear();
            continue;
        }
        ids[i].bucket = hashed(ids[i].text, ids[i].size) >> (64 - bits);
        FETCH(in.buckets + ids[i].bucket);
    }
    look_up(&in, ids, n, out);
    PyMem_Free(ids);
    return done(&arrays);
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
    KERNEL(decoded),  KERNEL(dots),    KERNEL(likeness), KERNEL(filled),
    KERNEL(even_worth), KERNEL(added_up), KERNEL(rows_of),  KERNEL(may_be),
    {"is_finite", is_finite, METH_O, NULL}, {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT, "indexes.kernels._compiled", NULL, 0, functions, NULL, NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit__compiled(void)
{
    return PyModule_Create(&module);
}
