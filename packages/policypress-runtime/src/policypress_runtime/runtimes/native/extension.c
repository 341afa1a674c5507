/* A generated policy as a CPython extension module. Stands behind the generated C and the macros that describe its
   arrays (see binding.py): PB_MODULE, PB_INPUTS, pb_inputs, PB_CONVERTED_BYTES, PB_CALL_INPUTS, PB_SCORES,
   PB_ACTION_ELEMENT, PB_ACTION_SIZE, PB_ACTION_INTEGER, PB_ACTION_SCALAR, PB_EXPECTED, PB_EXPECTED_ACTION, pb_contract.

   Arrays come and go by the buffer protocol; numpy is neither needed nor included. */

#include <string.h>

#define PB_QUOTED_(x) #x
#define PB_QUOTED(x) PB_QUOTED_(x)
#define PB_JOINED_(a, b) a##b
#define PB_JOINED(a, b) PB_JOINED_(a, b)

typedef PB_ACTION_ELEMENT pb_action;

/* A policy with memory takes a state before its inputs. */
#ifdef POLICY_STATE_BYTES
#define PB_REMEMBERS 1
#define PB_MEMORY(memory) memory,
#else
#define PB_REMEMBERS 0
#define PB_MEMORY(memory)
#endif

/* What a module object holds for itself; every import of the file makes a new one. */
struct pb_state {
    PyTypeObject *array;     /* numpy's, if its objects turned out to be laid out as pb_array; NULL: they did not */
    PyObject *real32;        /* numpy's float32 */
    PyObject *new_action;    /* makes an array for act() to fill; NULL: act() gives Python numbers */
    PyObject *checked;       /* is given the observations that act() cannot take; NULL: act() raises */
    PyObject *keys[PB_INPUTS];
    unsigned long long saturated;
#if PB_REMEMBERS
    policy_state memory;     /* of the episode that act() plays */
#endif
};

static struct pb_state *pb_state_of(PyObject *module) { return (struct pb_state *)PyModule_GetState(module); }

/* What every numpy has kept in its arrays since 1.0, as its public header says. Asking the buffer protocol instead takes
   30 ns for each array, as long as a fifth of a small policy. Trusted after it was seen to be so (pb_know_arrays). */
struct pb_array {
    PyObject_HEAD
    char *data;
    int ndim;
    Py_ssize_t *shape, *strides;
    PyObject *base, *dtype;
    int flags;
};
#define PB_READABLE 0x101 /* contiguous and aligned, */
#define PB_WRITABLE 0x501 /* and writable */

/* The array, if it is one of floats that can be taken as it lies; else NULL. */
static const struct pb_array *pb_floats(const struct pb_state *state, PyObject *given, int flags)
{
    const struct pb_array *array = (const struct pb_array *)given;
    if (state->array == NULL || Py_TYPE(given) != state->array)
        return NULL;
    return array->dtype == state->real32 && (array->flags & flags) == flags ? array : NULL;
}

static int pb_format(const Py_buffer *view)
{
    const char *format = view->format == NULL ? "B" : view->format;
    if (*format == '@' || *format == '=')
        format++;
    if (format[0] == 0 || format[1] != 0)
        return PB_OTHER;
    /* What a format says is believed where the size of an item says it too: an item may have any, 0 included. */
    switch (format[0]) {
    case 'f': return view->itemsize == 4 ? PB_REAL32 : PB_OTHER;
    case 'd': return view->itemsize == 8 ? PB_REAL64 : PB_OTHER;
    case 'B': return view->itemsize == 1 ? PB_BYTE : PB_OTHER;
    case 'b': case '?': return view->itemsize == 1 ? PB_SIGNED_BYTE : PB_OTHER;
    case 'i': return view->itemsize == 4 ? PB_INT32 : PB_OTHER;
    case 'l': case 'q': return view->itemsize == 8 ? PB_INT64 : view->itemsize == 4 ? PB_INT32 : PB_OTHER;
    default: return PB_OTHER;
    }
}

static int pb_has_shape(const Py_buffer *view, const struct pb_input *want)
{
    if (view->ndim != want->ndim)
        return 0;
    for (int axis = 0; axis < want->ndim; axis++)
        if (view->shape[axis] != want->shape[axis])
            return 0;
    return 1;
}

/* Indices stay indices: what an int32 cannot hold is as far out of every range as its ends. */
static void pb_narrow(const int64_t *from, int32_t *to, size_t count)
{
    for (size_t i = 0; i < count; i++)
        to[i] = from[i] > INT32_MAX ? INT32_MAX : from[i] < INT32_MIN ? INT32_MIN : (int32_t)from[i];
}

/* Room for the elements of inputs that come in another format: on the stack where it is small. */
struct pb_room {
    char *bytes;
#if PB_CONVERTED_BYTES > PB_STACK_BYTES
    char *owned;
#else
    char own[PB_CONVERTED_BYTES] PP_ALIGN(64);
#endif
};

#if PB_CONVERTED_BYTES > PB_STACK_BYTES
static void pb_room_new(struct pb_room *room) { room->bytes = room->owned = NULL; }
static void pb_room_free(struct pb_room *room) { PyMem_Free(room->owned); }
#else
static void pb_room_new(struct pb_room *room) { room->bytes = room->own; }
static void pb_room_free(struct pb_room *room) { (void)room; }
#endif

/* Where the elements of this input go. NULL: nowhere, or there is no memory, which is an error then. */
static char *pb_room_for(struct pb_room *room, const struct pb_input *want)
{
    if (want->converted < 0)
        return NULL;
#if PB_CONVERTED_BYTES > PB_STACK_BYTES
    if (room->bytes == NULL) {
        room->owned = PyMem_Malloc(PB_CONVERTED_BYTES + 64);
        if (room->owned == NULL) {
            PyErr_NoMemory();
            return NULL;
        }
        room->bytes = room->owned + -(uintptr_t)room->owned % 64;
    }
#endif
    return room->bytes + want->converted;
}

static void pb_to_single(const double *from, float *to, size_t count)
{
    for (size_t i = 0; i < count; i++)
        to[i] = (float)from[i];
}

/* The elements of one observation's array as the policy reads them: where they lie, or converted. NULL: neither. */
static const void *pb_elements(const Py_buffer *view, const struct pb_input *want, struct pb_room *room)
{
    int format = pb_format(view);
    size_t count = (size_t)want->size;
    if (format == want->format && (uintptr_t)view->buf % (size_t)want->item_bytes == 0)
        return view->buf;
    int single = want->format == PB_REAL32 && format == PB_REAL64;
    if (!(single || (want->format == PB_INT32 && format == PB_INT64)) || (uintptr_t)view->buf % 8 != 0)
        return NULL;
    char *to = pb_room_for(room, want);
    if (to != NULL && single)
        pb_to_single((const double *)view->buf, (float *)to, count);
    else if (to != NULL)
        pb_narrow((const int64_t *)view->buf, (int32_t *)to, count);
    return to;
}

/* One Python number as an element of an input; 0: it is none. */
static int pb_number(PyObject *given, const struct pb_input *want, char *to)
{
    if (want->format == PB_REAL32) {
        double value = PyFloat_AsDouble(given);
        *(float *)to = (float)value;
        return !(value == -1.0 && PyErr_Occurred());
    }
    long value = want->format == PB_INT32 && PyLong_Check(given) ? PyLong_AsLong(given) : -1;
    *(int32_t *)to = (int32_t)value;
    return value >= 0 && value <= INT32_MAX;
}

/* A number, or a list, tuple or other sequence of numbers, as the policy reads them; NULL: they do not fit. */
static const void *pb_sequence(PyObject *given, const struct pb_input *want, struct pb_room *room)
{
    char *to = want->ndim > 1 ? NULL : pb_room_for(room, want);
    if (to == NULL)
        return NULL;
    if (want->ndim == 0)
        return pb_number(given, want, to) ? to : NULL;
    PyObject *items = PySequence_Fast(given, "");
    int taken = items != NULL && PySequence_Fast_GET_SIZE(items) == want->size;
    for (Py_ssize_t i = 0; taken && i < want->size; i++) {
        /* __float__ may have changed the list and dropped what was in it: looked at anew, and each item held. */
        if (PySequence_Fast_GET_SIZE(items) != want->size) {
            taken = 0;
            break;
        }
        PyObject *item = PySequence_Fast_GET_ITEM(items, i);
        Py_INCREF(item);
        taken = pb_number(item, want, to + i * want->item_bytes);
        Py_DECREF(item);
    }
    Py_XDECREF(items);
    return taken ? to : NULL;
}

struct pb_taken {
    const void *inputs[PB_INPUTS];
    Py_buffer views[PB_INPUTS];
    int held;
};

static void pb_release(struct pb_taken *taken)
{
    while (taken->held > 0)
        PyBuffer_Release(&taken->views[--taken->held]);
}

#if PB_INPUTS == 1
/* The elements of an array that is just what the policy reads, or NULL. Nothing holds it: until the policy has read it, no
   Python code may run. */
static const void *pb_direct(const struct pb_state *state, PyObject *given, const struct pb_input *want)
{
    const struct pb_array *array = want->format == PB_REAL32 ? pb_floats(state, given, PB_READABLE) : NULL;
    if (array == NULL || array->ndim != want->ndim)
        return NULL;
    for (int axis = 0; axis < want->ndim; axis++)
        if (array->shape[axis] != want->shape[axis])
            return NULL;
    return array->data;
}
#endif

/* What is not this input's format is for somebody else; what no program should catch is for nobody. */
static void pb_forgive(void)
{
    if (PyErr_Occurred() && PyErr_ExceptionMatches(PyExc_Exception) && !PyErr_ExceptionMatches(PyExc_MemoryError))
        PyErr_Clear();
}

/* 1: `inputs` are set and the views held until pb_release. 0: this is for somebody else; nothing is held. */
static int pb_take(struct pb_state *state, PyObject *observation, struct pb_taken *taken, struct pb_room *room, int lists)
{
    taken->held = 0;
#if PB_INPUTS == 1
    taken->inputs[0] = pb_direct(state, observation, &pb_inputs[0]);
    if (taken->inputs[0] != NULL)
        return 1;
#endif
    for (int i = 0; i < PB_INPUTS; i++) {
        const struct pb_input *want = &pb_inputs[i];
        PyObject *given = observation;
        if (want->key[0] != 0 && PyDict_Check(observation))
            given = PyDict_GetItemWithError(observation, state->keys[i]);
        else if (PB_INPUTS > 1)
            given = NULL;
        Py_XINCREF(given); /* Code that reading it runs may take it out of the dict. */
        const void *elements = NULL;
        if (given != NULL && PyObject_CheckBuffer(given)) {
            Py_buffer *view = &taken->views[taken->held];
            if (PyObject_GetBuffer(given, view, PyBUF_FORMAT | PyBUF_ND) == 0) {
                taken->held++;
                elements = pb_has_shape(view, want) ? pb_elements(view, want, room) : NULL;
            }
        } else if (given != NULL && lists) {
            elements = pb_sequence(given, want, room);
        }
        Py_XDECREF(given);
        if (elements == NULL) {
            pb_forgive();
            pb_release(taken);
            return 0;
        }
        taken->inputs[i] = elements;
    }
    return 1;
}

/* Calls of the policy, with working memory where it takes none from the stack. PB_NO_MEMORY: there was none. */
#define PB_NO_MEMORY (-1)
#ifdef POLICY_SCRATCH_IS_GIVEN
static int pb_one(struct pb_state *state, const void *const *inputs, pb_action *action)
{
    (void)state;
    void *scratch = PyMem_RawMalloc(POLICY_SCRATCH_BYTES);
    int status =
        scratch == NULL ? PB_NO_MEMORY : policy_act_with(scratch, PB_MEMORY(&state->memory) PB_CALL_INPUTS, action);
    PyMem_RawFree(scratch);
    return status;
}
#else
static int pb_one(struct pb_state *state, const void *const *inputs, pb_action *action)
{
    (void)state;
    return policy_act(PB_MEMORY(&state->memory) PB_CALL_INPUTS, action);
}
#endif

static PyObject *pb_wrong(int status)
{
    if (status == PB_NO_MEMORY)
        return PyErr_NoMemory();
    if (PyErr_Occurred())
        return NULL;
    if (status & POLICY_NOT_FINITE)
        PyErr_SetString(PyExc_ValueError, PB_REMEMBERS ? "the observation or the memory holds NaN or infinity"
                                                       : "the observation holds NaN or infinity");
    else
        PyErr_SetString(PyExc_ValueError, "the observation does not fit the policy: expected " PB_EXPECTED);
    return NULL;
}

/* What act() does with an observation that it cannot take: ask for help, or say what would be right. */
static PyObject *pb_refuse(struct pb_state *state, PyObject *observation, int status)
{
    if (state->checked == NULL || PyErr_Occurred() || status == PB_NO_MEMORY)
        return pb_wrong(status);
    PyObject *checked = state->checked;
    Py_INCREF(checked); /* It may bind another in its place. */
    PyObject *result = PyObject_CallOneArg(checked, observation);
    Py_DECREF(checked);
    return result;
}

static void pb_count(struct pb_state *state, int status)
{
    if (status & POLICY_SATURATED)
        state->saturated++;
}

#if PB_ACTION_SIZE > 1 || !PB_ACTION_INTEGER
static PyObject *pb_numbers(const pb_action *action)
{
    PyObject *tuple = PyTuple_New(PB_ACTION_SIZE);
    for (Py_ssize_t i = 0; tuple != NULL && i < PB_ACTION_SIZE; i++) {
#if PB_ACTION_INTEGER
        PyObject *item = PyLong_FromLong(action[i]);
#else
        PyObject *item = PyFloat_FromDouble((double)action[i]);
#endif
        if (item == NULL)
            Py_CLEAR(tuple);
        else
            PyTuple_SET_ITEM(tuple, i, item);
    }
    return tuple;
}
#endif

/* Whether actions can be written into a buffer of the caller's. */
static int pb_accepts(size_t count, const Py_buffer *to)
{
    int format = pb_format(to);
    if (format == PB_OTHER || (size_t)to->len != count * (size_t)to->itemsize ||
        (uintptr_t)to->buf % (size_t)to->itemsize != 0)
        return 0;
    return count == 0 || (PB_ACTION_INTEGER ? format != PB_REAL32 && format != PB_REAL64 : format == PB_REAL32);
}

/* Writes actions into a buffer of the caller's, in its own integer format. 0: the buffer is another one. */
static int pb_give(const pb_action *action, size_t count, const Py_buffer *to)
{
    int format = pb_format(to);
    if (!pb_accepts(count, to))
        return 0;
    if (count == 0)
        return 1;
#if PB_ACTION_INTEGER
    if (format == PB_INT64)
        for (size_t i = 0; i < count; i++)
            ((int64_t *)to->buf)[i] = action[i];
    else if (format == PB_BYTE || format == PB_SIGNED_BYTE)
        for (size_t i = 0; i < count; i++)
            ((int8_t *)to->buf)[i] = (int8_t)action[i];
    else if (format == PB_INT32)
        memcpy(to->buf, action, count * sizeof(pb_action));
    else
        return 0;
#else
    if (format != PB_REAL32)
        return 0;
    memcpy(to->buf, action, count * sizeof(pb_action));
#endif
    return 1;
}

#if !PB_ACTION_INTEGER
static Py_ssize_t pb_count_of(const struct pb_array *array)
{
    Py_ssize_t count = 1;
    for (int axis = 0; axis < array->ndim; axis++)
        count *= array->shape[axis];
    return count;
}
#endif

#if !PB_ACTION_SCALAR
/* An array for an action, from whoever bound the module. */
static PyObject *pb_made(struct pb_state *state)
{
    PyObject *new_action = state->new_action;
    Py_INCREF(new_action); /* It may bind another in its place. */
    PyObject *made = PyObject_CallNoArgs(new_action);
    Py_DECREF(new_action);
    return made;
}
#endif

static PyObject *pb_act(PyObject *module, PyObject *observation)
{
    struct pb_state *state = pb_state_of(module);
    struct pb_taken taken;
    pb_action action[PB_ACTION_SIZE];
    struct pb_room room;
    pb_room_new(&room);
    int fits = pb_take(state, observation, &taken, &room, state->checked == NULL);
    int status = fits ? pb_one(state, taken.inputs, action) : 0;
    pb_release(&taken);
    pb_room_free(&room);
    if (!fits || status & POLICY_NOT_FINITE)
        return pb_refuse(state, observation, status);
    pb_count(state, status);
#if PB_ACTION_SCALAR
    return PyLong_FromLong(action[0]);
#else
    if (state->new_action == NULL)
        return pb_numbers(action);
    PyObject *array = pb_made(state);
    Py_buffer to;
#if !PB_ACTION_INTEGER
    const struct pb_array *floats = array == NULL ? NULL : pb_floats(state, array, PB_WRITABLE);
    if (floats != NULL && pb_count_of(floats) == PB_ACTION_SIZE) {
        memcpy(floats->data, action, sizeof action);
        return array;
    }
#endif
    if (array == NULL || PyObject_GetBuffer(array, &to, PyBUF_FORMAT | PyBUF_ND | PyBUF_WRITABLE) != 0) {
        Py_XDECREF(array);
        return NULL;
    }
    int given = pb_give(action, PB_ACTION_SIZE, &to);
    PyBuffer_Release(&to);
    if (!given) {
        PyErr_SetString(PyExc_TypeError, "the array that was made for the action does not fit it");
        Py_CLEAR(array);
    }
    return array;
#endif
}

static PyObject *pb_act_into(PyObject *module, PyObject *const *arguments, Py_ssize_t count)
{
    struct pb_state *state = pb_state_of(module);
    struct pb_taken taken;
    Py_buffer to;
    pb_action action[PB_ACTION_SIZE];
    struct pb_room room;
    pb_room_new(&room);
    if (count != 2) {
        PyErr_SetString(PyExc_TypeError, "act_into takes an observation and a buffer for the action");
        return NULL;
    }
    /* Looked at before the policy acts, which a memory would not forget. */
    if (PyObject_GetBuffer(arguments[1], &to, PyBUF_FORMAT | PyBUF_ND | PyBUF_WRITABLE) != 0)
        return NULL;
    int accepted = pb_accepts(PB_ACTION_SIZE, &to);
    int fits = accepted && pb_take(state, arguments[0], &taken, &room, 1);
    int status = fits ? pb_one(state, taken.inputs, action) : 0;
    if (fits)
        pb_release(&taken);
    pb_room_free(&room);
    if (fits && !(status & POLICY_NOT_FINITE))
        (void)pb_give(action, PB_ACTION_SIZE, &to);
    PyBuffer_Release(&to);
    if (!accepted) {
        PyErr_SetString(PyExc_ValueError, "the action does not fit its buffer: expected " PB_EXPECTED_ACTION);
        return NULL;
    }
    if (!fits || status & POLICY_NOT_FINITE)
        return pb_wrong(status);
    pb_count(state, status);
    return PyLong_FromLong(status);
}

/* Whether an array has as many rows as a batch: along its first axis, unless it is flat. */
static int pb_in_rows(const Py_buffer *view, Py_ssize_t rows) { return view->ndim < 2 || view->shape[0] == rows; }

/* The rows of a batch in one input, or -1 with an error. */
static Py_ssize_t pb_rows(const Py_buffer *view, const struct pb_input *want)
{
    int format = pb_format(view);
    int wide = want->format == PB_INT32 && format == PB_INT64;
    Py_ssize_t row_bytes = want->size * (wide ? 8 : want->item_bytes);
    if ((format == want->format || wide) && view->len % row_bytes == 0 && pb_in_rows(view, view->len / row_bytes) &&
        (uintptr_t)view->buf % (size_t)(wide ? 8 : want->item_bytes) == 0)
        return view->len / row_bytes;
    PyErr_SetString(PyExc_ValueError, "a batch does not fit the policy: expected rows of " PB_EXPECTED);
    return -1;
}

struct pb_batch {
    struct pb_taken taken;
    void *owned[PB_INPUTS];
    Py_ssize_t rows;
};

static void pb_batch_release(struct pb_batch *batch)
{
    pb_release(&batch->taken);
    for (int i = 0; i < PB_INPUTS; i++)
        PyMem_Free(batch->owned[i]);
}

/* The inputs of a batch: one buffer each, given in the contract's order. 0: an error is set, nothing is held. */
static int pb_batch_take(PyObject *const *given, struct pb_batch *batch)
{
    memset(batch, 0, sizeof *batch);
    for (int i = 0; i < PB_INPUTS; i++) {
        const struct pb_input *want = &pb_inputs[i];
        Py_buffer *view = &batch->taken.views[i];
        if (PyObject_GetBuffer(given[i], view, PyBUF_FORMAT | PyBUF_ND) != 0)
            goto refused;
        batch->taken.held++;
        Py_ssize_t rows = pb_rows(view, want);
        if (rows < 0)
            goto refused;
        if (i > 0 && rows != batch->rows) {
            PyErr_SetString(PyExc_ValueError, "the inputs have different numbers of rows");
            goto refused;
        }
        batch->rows = rows;
        batch->taken.inputs[i] = view->buf;
        if (want->format == PB_INT32 && pb_format(view) == PB_INT64) {
            size_t count = (size_t)(rows * want->size);
            batch->owned[i] = PyMem_Malloc(count * sizeof(int32_t) + 1);
            if (batch->owned[i] == NULL) {
                PyErr_NoMemory();
                goto refused;
            }
            pb_narrow((const int64_t *)view->buf, (int32_t *)batch->owned[i], count);
            batch->taken.inputs[i] = batch->owned[i];
        }
    }
    return 1;
refused:
    pb_batch_release(batch);
    return 0;
}

static int pb_overlap(const Py_buffer *a, const Py_buffer *b)
{
    const char *first = (const char *)a->buf, *second = (const char *)b->buf;
    return a->len > 0 && b->len > 0 && first < second + b->len && second < first + a->len;
}

/* Whether a buffer for results lies on an input, which would be overwritten before it is read. */
static int pb_on_inputs(const struct pb_batch *batch, const Py_buffer *to)
{
    int on = 0;
    for (int i = 0; i < batch->taken.held; i++)
        on |= pb_overlap(&batch->taken.views[i], to);
    return on;
}

/* Acts on rows with the kernels `set`, which stay the same to the end whatever use_kernel is told meanwhile. */
static int pb_many(const struct policy_kernel_set *set, void *states, const void *const *inputs, pb_action *actions,
                   float *scores, size_t rows)
{
    int status = 0;
    (void)states;
#ifdef POLICY_BATCH_SCRATCH_IS_GIVEN
    void *scratch = PyMem_RawMalloc(POLICY_BATCH_SCRATCH_BYTES);
    if (scratch == NULL)
        return PB_NO_MEMORY;
#define PB_SCRATCH scratch,
#else
#define PB_SCRATCH
#endif
#if POLICY_TILE > 1
    status = set->many(PB_SCRATCH PB_MEMORY((policy_state *)states) PB_CALL_INPUTS, actions, scores, rows);
#else
    for (size_t row = 0; row < rows; row++)
        status |= set->one(PB_SCRATCH PB_MEMORY((policy_state *)states + row) PB_ROW_INPUTS,
                           actions + row * PB_ACTION_SIZE, scores == NULL ? NULL : scores + row * PB_SCORES);
#endif
#ifdef POLICY_BATCH_SCRATCH_IS_GIVEN
    PyMem_RawFree(scratch);
#endif
    return status;
}

#if PB_REMEMBERS
/* Whether a buffer holds the states of `rows` observations. */
static int pb_holds_states(const Py_buffer *view, size_t rows)
{
    return pb_format(view) == PB_REAL32 && (uintptr_t)view->buf % sizeof(float) == 0 &&
           (size_t)view->len == rows * sizeof(policy_state) && pb_in_rows(view, (Py_ssize_t)rows);
}
#endif

/* Acts on a batch: inputs, with a memory a buffer of the states that are read and written, with `scores` a buffer for
   these, and a buffer for the actions. */
static PyObject *pb_batch_into(PyObject *module, PyObject *const *arguments, Py_ssize_t count, int scores)
{
    struct pb_batch batch;
    Py_buffer to, scored, kept;
    PyObject *result = NULL;
    pb_action *actions = NULL;
    if (count != PB_INPUTS + PB_REMEMBERS + 1 + scores) {
        PyErr_SetString(PyExc_TypeError, "expected one buffer for each input, then those of the results");
        return NULL;
    }
    if (!pb_batch_take(arguments, &batch))
        return NULL;
    memset(&scored, 0, sizeof scored);
    memset(&kept, 0, sizeof kept);
    if (PB_REMEMBERS && PyObject_GetBuffer(arguments[PB_INPUTS], &kept, PyBUF_FORMAT | PyBUF_ND | PyBUF_WRITABLE) != 0)
        goto inputs;
    if (PyObject_GetBuffer(arguments[count - 1], &to, PyBUF_FORMAT | PyBUF_ND | PyBUF_WRITABLE) != 0)
        goto states;
    if (scores && PyObject_GetBuffer(arguments[count - 2], &scored, PyBUF_FORMAT | PyBUF_ND | PyBUF_WRITABLE) != 0)
        goto action;
    size_t rows = (size_t)batch.rows, sized = rows * PB_ACTION_SIZE;
    int direct = pb_format(&to) == (PB_ACTION_INTEGER ? PB_INT32 : PB_REAL32) && (uintptr_t)to.buf % 4 == 0;
    int fits = (size_t)to.len == sized * (size_t)to.itemsize && pb_in_rows(&to, batch.rows);
    if (scores)
        fits = fits && pb_format(&scored) == PB_REAL32 && (uintptr_t)scored.buf % sizeof(float) == 0 &&
               (size_t)scored.len == rows * PB_SCORES * sizeof(float) && pb_in_rows(&scored, batch.rows);
    if (!fits) {
        PyErr_SetString(PyExc_ValueError, "a buffer for results does not fit: expected rows of " PB_EXPECTED_ACTION);
        goto all;
    }
    if (pb_on_inputs(&batch, &to) || (scores && (pb_on_inputs(&batch, &scored) || pb_overlap(&scored, &to)))) {
        PyErr_SetString(PyExc_ValueError, "a buffer for results lies on another buffer of the call");
        goto all;
    }
#if PB_REMEMBERS
    if (!pb_holds_states(&kept, rows)) {
        PyErr_SetString(PyExc_ValueError, "the states do not fit: expected rows of " PB_EXPECTED_STATE);
        goto all;
    }
    if (pb_on_inputs(&batch, &kept) || pb_overlap(&kept, &to) || (scores && pb_overlap(&kept, &scored))) {
        PyErr_SetString(PyExc_ValueError, "the states lie on another buffer of the call");
        goto all;
    }
#endif
    if (!direct && (actions = PyMem_Calloc(sized + 1, sizeof(pb_action))) == NULL) {
        PyErr_NoMemory();
        goto all;
    }
    const void *const *inputs = batch.taken.inputs;
    pb_action *target = direct ? (pb_action *)to.buf : actions;
    /* Read while the interpreter's lock is held, as use_kernel writes it. */
    const struct policy_kernel_set *set = policy_chosen;
    int status;
    Py_BEGIN_ALLOW_THREADS
    status = pb_many(set, kept.buf, inputs, target, scores ? (float *)scored.buf : NULL, rows);
    Py_END_ALLOW_THREADS
    if (status == PB_NO_MEMORY) {
        PyErr_NoMemory();
        goto all;
    }
    if (!direct && !pb_give(actions, sized, &to)) {
        PyErr_SetString(PyExc_ValueError, "the actions do not fit their buffer: expected rows of " PB_EXPECTED_ACTION);
        goto all;
    }
    pb_count(pb_state_of(module), status);
    result = PyLong_FromLong(status);
all:
    PyMem_Free(actions);
    if (scores)
        PyBuffer_Release(&scored);
action:
    PyBuffer_Release(&to);
states:
    if (PB_REMEMBERS)
        PyBuffer_Release(&kept);
inputs:
    pb_batch_release(&batch);
    return result;
}

static PyObject *pb_act_batch(PyObject *module, PyObject *const *arguments, Py_ssize_t count)
{
    return pb_batch_into(module, arguments, count, 0);
}

#if PB_SCORES > 0
static PyObject *pb_run_batch(PyObject *module, PyObject *const *arguments, Py_ssize_t count)
{
    return pb_batch_into(module, arguments, count, 1);
}
#endif

#if PB_REMEMBERS
static PyObject *pb_bytes_of(const policy_state *memory)
{
    return PyBytes_FromStringAndSize((const char *)memory, (Py_ssize_t)sizeof *memory);
}

static PyObject *pb_reset(PyObject *module, PyObject *nothing)
{
    (void)nothing;
    policy_reset(&pb_state_of(module)->memory);
    Py_RETURN_NONE;
}

static PyObject *pb_memory(PyObject *module, PyObject *nothing)
{
    (void)nothing;
    return pb_bytes_of(&pb_state_of(module)->memory);
}

static PyObject *pb_initial_state(PyObject *module, PyObject *nothing)
{
    (void)module, (void)nothing;
    policy_state first;
    policy_reset(&first);
    return pb_bytes_of(&first);
}

static PyObject *pb_set_memory(PyObject *module, PyObject *given)
{
    Py_buffer view;
    if (PyObject_GetBuffer(given, &view, PyBUF_SIMPLE) != 0)
        return NULL;
    int fits = (size_t)view.len == sizeof(policy_state);
    if (fits)
        memcpy(&pb_state_of(module)->memory, view.buf, sizeof(policy_state));
    PyBuffer_Release(&view);
    if (!fits) {
        PyErr_SetString(PyExc_ValueError, "the state does not fit: expected " PB_EXPECTED_STATE);
        return NULL;
    }
    Py_RETURN_NONE;
}
#define PB_BATCH_OF "*inputs, states"
#else
#define PB_BATCH_OF "*inputs"
#endif

static PyObject *pb_kernel(PyObject *module, PyObject *nothing)
{
    (void)module, (void)nothing;
    return PyUnicode_FromString(policy_kernel());
}

static PyObject *pb_saturated(PyObject *module, PyObject *nothing)
{
    (void)nothing;
    return PyLong_FromUnsignedLongLong(pb_state_of(module)->saturated);
}

static PyObject *pb_use_kernel(PyObject *module, PyObject *name)
{
    (void)module;
    const char *text = PyUnicode_AsUTF8(name);
    if (text == NULL)
        return NULL;
    return PyBool_FromLong(policy_use_kernel(text) == 0);
}

static int pb_attribute_is(PyObject *object, const char *name, const void *value)
{
    PyObject *found = PyObject_GetAttrString(object, name);
    Py_XDECREF(found); /* The object keeps it. */
    return found != NULL && found == value;
}

/* Whether an array says of itself what pb_array says of it. */
static int pb_is_laid_out(PyObject *given)
{
    const struct pb_array *array = (const struct pb_array *)given;
    Py_buffer view;
    /* No class that Python code makes, whatever it is called: its objects may hold anything there. */
    if ((Py_TYPE(given)->tp_flags & Py_TPFLAGS_HEAPTYPE) != 0 ||
        Py_TYPE(given)->tp_basicsize < (Py_ssize_t)sizeof *array || strcmp(Py_TYPE(given)->tp_name, "numpy.ndarray") != 0 ||
        PyObject_GetBuffer(given, &view, PyBUF_STRIDES) != 0)
        return 0;
    int same = view.buf == (void *)array->data && view.ndim == array->ndim;
    for (int axis = 0; same && axis < view.ndim; axis++)
        same = view.shape[axis] == array->shape[axis] && view.strides[axis] == array->strides[axis];
    PyBuffer_Release(&view);
    PyObject *flags = same ? PyObject_GetAttrString(given, "flags") : NULL;
    PyObject *number = flags == NULL ? NULL : PyObject_GetAttrString(flags, "num");
    same = number != NULL && PyLong_AsLong(number) == (long)array->flags;
    Py_XDECREF(number);
    Py_XDECREF(flags);
    return same && pb_attribute_is(given, "dtype", array->dtype);
}

/* Learns how numpy's arrays lie from one that `new_action` makes; where they lie otherwise, there is the protocol. */
static int pb_know_arrays(struct pb_state *state, PyObject *new_action)
{
    PyObject *made = PyObject_CallNoArgs(new_action);
    PyObject *floats = made == NULL ? NULL : PyObject_CallMethod(made, "astype", "s", "float32");
    Py_CLEAR(state->array);
    Py_CLEAR(state->real32);
    if (floats != NULL && pb_is_laid_out(floats) && pb_is_laid_out(made)) {
        Py_INCREF(Py_TYPE(floats));
        state->array = Py_TYPE(floats);
        state->real32 = PyObject_GetAttrString(floats, "dtype");
    }
    Py_XDECREF(floats);
    Py_XDECREF(made);
    pb_forgive();
    return !PyErr_Occurred();
}

static PyObject *pb_bind(PyObject *module, PyObject *const *arguments, Py_ssize_t count)
{
    if (count != 2) {
        PyErr_SetString(PyExc_TypeError, "bind takes what makes an array for an action, and what checks observations");
        return NULL;
    }
    struct pb_state *state = pb_state_of(module);
    Py_INCREF(arguments[0]);
    Py_XSETREF(state->new_action, arguments[0]);
    Py_INCREF(arguments[1]);
    Py_XSETREF(state->checked, arguments[1]);
    if (!pb_know_arrays(state, arguments[0]))
        return NULL;
    Py_RETURN_NONE;
}

#define PB_FAST(function) ((PyCFunction)(void (*)(void))(function))

static PyMethodDef pb_methods[] = {
    {"act", pb_act, METH_O,
     "act(observation): the action, a tuple of numbers or an int. The observation is an array, or a dict of them."},
    {"act_into", PB_FAST(pb_act_into), METH_FASTCALL,
     "act_into(observation, action): write the action into a buffer; returns status bits (1: a value was clipped)."},
    {"act_batch", PB_FAST(pb_act_batch), METH_FASTCALL,
     "act_batch(" PB_BATCH_OF ", actions): act on rows, without the interpreter lock; returns status bits (2: a row holds "
     "NaN or infinity, and its action was left as it was)."},
#if PB_SCORES > 0
    {"run_batch", PB_FAST(pb_run_batch), METH_FASTCALL,
     "run_batch(" PB_BATCH_OF ", scores, actions): act_batch that also gives the scores."},
#endif
#if PB_REMEMBERS
    {"reset", pb_reset, METH_NOARGS, "reset(): an episode begins; act() and act_into() forget what they met."},
    {"state", pb_memory, METH_NOARGS, "state(): what act() remembers, the bytes of " PB_EXPECTED_STATE "."},
    {"set_state", pb_set_memory, METH_O, "set_state(state): what act() shall remember, as state() gives it."},
    {"initial_state", pb_initial_state, METH_NOARGS, "initial_state(): the state at the start of an episode."},
#endif
    {"kernel", pb_kernel, METH_NOARGS, "kernel(): name of the kernels in use."},
    {"use_kernel", pb_use_kernel, METH_O, "use_kernel(name): use other kernels; False where this machine lacks them."},
    {"saturated", pb_saturated, METH_NOARGS, "saturated(): calls in which a value of the observation was clipped."},
    {"bind", PB_FAST(pb_bind), METH_FASTCALL, "bind(new_action, checked): for policypress's own runtime."},
    {NULL, NULL, 0, NULL},
};

static int pb_exec(PyObject *module)
{
    struct pb_state *state = pb_state_of(module);
#if PB_REMEMBERS
    policy_reset(&state->memory);
#endif
    for (int i = 0; i < PB_INPUTS; i++)
        if ((state->keys[i] = PyUnicode_InternFromString(pb_inputs[i].key)) == NULL)
            return -1;
    return PyModule_AddStringConstant(module, "contract", pb_contract);
}

static int pb_traverse(PyObject *module, visitproc visit, void *arg)
{
    struct pb_state *state = pb_state_of(module);
    Py_VISIT(state->array);
    Py_VISIT(state->real32);
    Py_VISIT(state->new_action);
    Py_VISIT(state->checked);
    return 0;
}

static int pb_clear(PyObject *module)
{
    struct pb_state *state = pb_state_of(module);
    Py_CLEAR(state->array);
    Py_CLEAR(state->real32);
    Py_CLEAR(state->new_action);
    Py_CLEAR(state->checked);
    for (int i = 0; i < PB_INPUTS; i++)
        Py_CLEAR(state->keys[i]);
    return 0;
}

static void pb_free(void *module) { pb_clear((PyObject *)module); }

static PyModuleDef_Slot pb_slots[] = {{Py_mod_exec, (void *)pb_exec}, {0, NULL}};

static struct PyModuleDef pb_module = {
    PyModuleDef_HEAD_INIT, PB_QUOTED(PB_MODULE), "A policy written by policypress.",
    sizeof(struct pb_state), pb_methods, pb_slots, pb_traverse, pb_clear, pb_free,
};

PyMODINIT_FUNC PB_JOINED(PyInit_, PB_MODULE)(void);

PyMODINIT_FUNC PB_JOINED(PyInit_, PB_MODULE)(void) { return PyModuleDef_Init(&pb_module); }
