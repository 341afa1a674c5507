/* QEMU's "virt" machine with picolibc: instructions by the processor's own counter, text through semihosting. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

extern uint8_t __heap_start[];
static inline volatile uint8_t *free_memory(void) { return __heap_start; }
static inline volatile uint8_t *stack_pointer(void)
{
    volatile uint8_t *top;
    __asm__ volatile("mv %0, sp" : "=r"(top));
    return top;
}

static uint32_t counted(void)
{
    uint32_t count;
    __asm__ volatile(".option push\n\t.option arch, +zicsr\n\tcsrr %0, minstret\n\t.option pop" : "=r"(count));
    return count;
}

static void print_text(const char *text) { fputs(text, stdout); }
#include "../words.h"
static void start_board(void) {}
static void leave(void) { exit(0); }
