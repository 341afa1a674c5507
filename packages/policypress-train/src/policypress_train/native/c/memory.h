/* Scratch memory: an arena that the caller owns, laid out in the same order on every call. */
#ifndef PP_MEMORY_H
#define PP_MEMORY_H
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define PP_LINE 64

typedef ptrdiff_t pp_int; /* sizes and indices */

/* The block and how much of it is used. With a NULL block, bytes are only counted. */
typedef struct {
    char *block;
    pp_int taken;
} pp_arena;

static inline pp_int pp_up(pp_int value, pp_int multiple)
{
    return (value + multiple - 1) / multiple * multiple;
}
static inline pp_int pp_min(pp_int a, pp_int b)
{
    return a < b ? a : b;
}
static inline pp_int pp_max(pp_int a, pp_int b)
{
    return a > b ? a : b;
}

/* Allocate `bytes`, aligned to a cache line; NULL if bytes are only counted. */
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

/* Matrices in scratch memory are padded to whole tiles (16 rows, 32 floats), and each row by one cache line more: rows
   1024 bytes apart would map to the same few cache sets. */
static inline pp_int pp_stride(pp_int columns)
{
    return pp_up(columns, 32) + 16;
}
static inline float *pp_matrix(pp_arena *arena, pp_int rows, pp_int columns)
{
    return pp_floats(arena, pp_up(rows, 16) * pp_stride(columns));
}
#endif
