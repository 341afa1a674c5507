/* Scratch memory: one block that the caller owns, carved in the same order every time. */
#ifndef PP_MEMORY_H
#define PP_MEMORY_H
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define PP_LINE 64

typedef ptrdiff_t pp_int; /* sizes and places */

/* The block and how much of it is taken; without a block, only counted. */
typedef struct {
    char *block;
    pp_int taken;
} pp_arena;

static inline pp_int pp_up(pp_int value, pp_int multiple)
{
    return (value + multiple - 1) / multiple * multiple;
}
static inline pp_int pp_least(pp_int a, pp_int b)
{
    return a < b ? a : b;
}
static inline pp_int pp_most(pp_int a, pp_int b)
{
    return a > b ? a : b;
}

/* The next `bytes`, on a cache line of their own; NULL where bytes are only counted. */
static inline void *pp_carve(pp_arena *arena, pp_int bytes)
{
    const pp_int at = arena->taken;
    arena->taken += pp_up(bytes, PP_LINE);
    return arena->block == NULL ? NULL : arena->block + at;
}

static inline float *pp_floats(pp_arena *arena, pp_int count)
{
    return (float *)pp_carve(arena, count * (pp_int)sizeof(float));
}

static inline void pp_clear(void *at, pp_int bytes)
{
    memset(at, 0, (size_t)bytes);
}
static inline void pp_copy(void *to, const void *from, pp_int bytes)
{
    memcpy(to, from, (size_t)bytes);
}

/* Matrices of scratch memory are whole tiles: rows in 16s, floats of a row in 32s, and a cache line more: rows 1024
   bytes apart would share a few places of the cache. */
static inline pp_int pp_stride(pp_int columns)
{
    return pp_up(columns, 32) + 16;
}
static inline float *pp_matrix(pp_arena *arena, pp_int rows, pp_int columns)
{
    return pp_floats(arena, pp_up(rows, 16) * pp_stride(columns));
}
#endif
