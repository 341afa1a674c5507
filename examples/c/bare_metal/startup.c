/* From reset to main on a Cortex-M4F or M7: data and bss, then the floating-point unit, which is off after reset. */
#include <stdint.h>

extern uint32_t data_in_flash[], data_start[], data_end[], bss_start[], bss_end[], stack_top[];
int main(void);
void SysTick_Handler(void);
void Reset_Handler(void);

static void hang(void)
{
    for (;;)
        ;
}

void Reset_Handler(void)
{
    *(volatile uint32_t *)0xE000ED88u |= 0xFu << 20; /* CPACR: coprocessors 10 and 11 */
    __asm__ volatile("dsb\n\tisb" ::: "memory");
    for (volatile uint32_t *to = data_start, *from = data_in_flash; to < data_end;)
        *to++ = *from++;
    for (volatile uint32_t *to = bss_start; to < bss_end;)
        *to++ = 0;
    main();
    hang();
}

/* A program without a timer has no handler of its own. */
__attribute__((weak)) void SysTick_Handler(void) { hang(); }

typedef void (*handler)(void);
__attribute__((used, section(".vectors"))) static const union {
    uint32_t *stack;
    handler call;
} vectors[16] = {
    {.stack = stack_top}, {.call = Reset_Handler}, {.call = hang}, {.call = hang}, {.call = hang}, {.call = hang},
    {.call = hang},       {.call = hang},          {.call = hang}, {.call = hang}, {.call = hang}, {.call = hang},
    {.call = hang},       {.call = hang},          {.call = hang}, {.call = SysTick_Handler}};
