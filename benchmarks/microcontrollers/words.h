/* Eight hexadecimal digits on a line of their own. */
static void print_word(uint32_t word)
{
    char text[10];
    for (int i = 0; i < 8; i++)
        text[i] = "0123456789abcdef"[word >> (28 - 4 * i) & 0xFu];
    text[8] = '\n';
    text[9] = 0;
    print_text(text);
}
