/* An ATmega2560: cycles by its timer 1 (with an interrupt every 65 536 cycles), text over its first serial line. */
#include <avr/interrupt.h>
#include <avr/io.h>
#include <avr/sleep.h>
#include <stdint.h>

extern uint8_t __heap_start;
static volatile uint16_t high;
ISR(TIMER1_OVF_vect) { high++; }

static inline volatile uint8_t *free_memory(void) { return &__heap_start; }
static inline volatile uint8_t *stack_pointer(void) { return (volatile uint8_t *)SP; }

static uint32_t counted(void)
{
    cli();
    uint16_t low = TCNT1, top = high;
    if ((TIFR1 & _BV(TOV1)) && low < 0x8000u)
        top++;
    sei();
    return (uint32_t)top << 16 | low;
}

static void print_text(const char *text)
{
    for (; *text; text++) {
        while (!(UCSR0A & _BV(UDRE0)))
            ;
        UDR0 = (uint8_t)*text;
    }
}
#include "../words.h"

static void start_board(void)
{
    UCSR0B = _BV(TXEN0);
    TCCR1B = _BV(CS10); /* the processor's clock */
    TIMSK1 = _BV(TOIE1);
    sei();
}

/* Asleep without interrupts: the simulator ends. */
static void leave(void)
{
    cli();
    sleep_mode();
}
