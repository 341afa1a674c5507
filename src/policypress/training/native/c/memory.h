/* Scratch memory: one block that the caller owns, carved in the same order every time. */
#ifndef PP_MEMORY_H
#define PP_MEMORY_H
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define PP_LINE 64

/* The block and how much of it is taken; without a block, only counted. */
typedef struct {
    char *block;
    ptrdiff_t taken;
} pp_arena;

static inline ptrdiff_t pp_up(ptrdiff_t value, ptrdiff_t multiple) { return (value + multiple - 1) / multiple * multiple; }
static inline ptrdiff_t pp_least(ptrdiff_t a, ptrdiff_t b) { return a < b ? a : b; }
static inline ptrdiff_t pp_most(ptrdiff_t a, ptrdiff_t b) { return a > b ? a : b; }

/* The next `bytes`, on a cache line of their own; NULL where bytes are only counted. */
static inline void *pp_carve(pp_arena *arena, ptrdiff_t bytes)
{
    const ptrdiff_t at = arena->taken;
    arena->taken += pp_up(bytes, PP_LINE);
    return arena->block == NULL ? NULL : arena->block + at;
}

static inline float *pp_floats(pp_arena *arena, ptrdiff_t count)
{
    return (float *)pp_carve(arena, count * (ptrdiff_t)sizeof(float));
}

static inline void pp_clear(void *at, ptrdiff_t bytes) { memset(at, 0, (size_t)bytes); }
static inline void pp_copy(void *to, const void *from, ptrdiff_t bytes) { memcpy(to, from, (size_t)bytes); }

/* Matrices of scratch memory are whole tiles: rows in 16s, floats of a row in 32s, and a cache line more: rows 1024 bytes
   apart would share a few places of the cache. */
static inline ptrdiff_t pp_stride(ptrdiff_t columns) { return pp_up(columns, 32) + 16; }
static inline float *pp_matrix(pp_arena *arena, ptrdiff_t rows, ptrdiff_t columns)
{
    return pp_floats(arena, pp_up(rows, 16) * pp_stride(columns));
}
#endif
