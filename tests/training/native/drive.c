/* Runs updates on random numbers with every tensor in memory of exactly its size, for the sanitizers to watch. */
#include "update.c"

#include <stdio.h>
#include <stdlib.h>

static unsigned long long state = 1;

static float drawn(void)
{
    state = state * 6364136223846793005ull + 1442695040888963407ull;
    return (float)((double)(state >> 33) / (double)(1u << 30) - 1.0);
}

static float *filled(pp_int count, float size)
{
    float *made = (float *)malloc((size_t)count * sizeof(float));
    for (pp_int i = 0; i < count; i++)
        made[i] = size * drawn();
    return made;
}

static pp_tensor tensor(pp_int count)
{
    const pp_tensor made = {filled(count, 0.2f), filled(count, 0.0f), filled(count, 0.0f), filled(1, 0.0f)};
    return made;
}

static pp_network network(const pp_int *widths, pp_int count, int64_t parts)
{
    pp_layer *layers = (pp_layer *)calloc((size_t)count, sizeof(pp_layer));
    for (pp_int l = 0; l < count; l++) {
        pp_layer *layer = &layers[l];
        layer->inputs = widths[l];
        layer->parts = l + 1 == count ? parts : 1;
        layer->rectified = l + 1 < count;
        layer->outputs = widths[l + 1] * layer->parts;
        for (int64_t p = 0; p < layer->parts; p++) {
            layer->weight[p] = tensor(widths[l] * widths[l + 1]);
            layer->bias[p] = tensor(widths[l + 1]);
        }
    }
    const pp_network made = {layers, count};
    return made;
}

/* Quantize every layer, or the first part of each that has two. */
static void quantize(pp_network *net)
{
    for (int64_t l = 0; l < net->count; l++) {
        pp_layer *layer = (pp_layer *)&net->layers[l];
        const pp_quantizer own = {
            filled(1, 0.0f),           filled(1, 0.0f), l == 0 ? filled(layer->inputs, 0.0f) : NULL, 127, 255, 1,
            l > 0 && layer->parts == 1};
        layer->quantizer[0] = own;
        if (l > 0 && own.rectifies)
            ((pp_layer *)&net->layers[l - 1])->rectified = 0;
    }
}

static double sum_of(const pp_network *net)
{
    double sum = 0.0;
    for (int64_t l = 0; l < net->count; l++)
        for (int64_t p = 0; p < net->layers[l].parts; p++)
            for (int64_t i = 0; i < net->layers[l].inputs * net->layers[l].outputs / net->layers[l].parts; i++)
                sum += (double)net->layers[l].weight[p].value[i];
    return sum;
}

static double run(int64_t batch, pp_int seen, pp_int done, pp_int width, int64_t critics, int sac, int quantized)
{
    const pp_int acting[] = {seen, width, width + 1, done}, judging[] = {seen + done, width, width + 1, 1};
    pp_network values[2], targets[2];
    float losses[4];
    for (int64_t c = 0; c < critics; c++) {
        values[c] = network(judging, 3, 1);
        targets[c] = network(judging, 3, 1);
    }
    const pp_adam adam = {1e-3, 0.9, 0.999, 1e-8, 0.0};
    pp_update update = {.observations = filled(batch * seen, 1.0f),
                        .actions = filled(batch * done, 1.0f),
                        .next_observations = filled(batch * seen, 1.0f),
                        .rewards = filled(batch, 1.0f),
                        .dones = filled(batch, 0.0f),
                        .discounts = filled(batch, 0.9f),
                        .noise = filled(batch * done, 1.0f),
                        .next_noise = filled(batch * done, 1.0f),
                        .batch = batch,
                        .observation_size = seen,
                        .action_size = done,
                        .critic_count = critics,
                        .actor = network(acting, 3, sac ? 2 : 1),
                        .actor_target = network(acting, 3, 1),
                        .critics = values,
                        .critic_targets = targets,
                        .actor_adam = adam,
                        .critic_adam = adam,
                        .temperature_adam = adam,
                        .log_temperature = tensor(1),
                        .target_entropy = -1.0,
                        .gamma = 0.99,
                        .losses = losses};
    for (int64_t c = 0; quantized && c < critics; c++) {
        quantize(&values[c]);
        quantize(&targets[c]);
    }
    if (quantized) {
        quantize(&update.actor);
        quantize(&update.actor_target);
    }
    update.scratch = aligned_alloc(64, (size_t)pp_scratch_bytes(&update));
    const pp_memory memory = {filled(2 * seen, 1.0f), filled(2 * seen, 1.0f), filled(2 * done, 1.0f),
                              filled(2, 1.0f),        filled(2, 0.0f),        filled(2, 0.0f)};
    int64_t *places = (int64_t *)malloc((size_t)batch * sizeof(int64_t));
    for (int64_t r = 0; r < batch; r++)
        places[r] = r % 2;
    pp_draw(&memory, places, &update);
    for (int step = 0; step < 3; step++) {
        (sac ? pp_learn_sac_values : pp_learn_td3_values)(&update);
        (sac ? pp_learn_sac_actions : pp_learn_td3_actions)(&update);
        pp_follow(targets, values, critics, 0.005);
        if (!sac)
            pp_follow(&update.actor_target, &update.actor, 1, 0.005);
    }
    const int64_t rows = batch < 3 ? batch : 3;
    float *given = filled(2 * done * rows, 0.0f);
    void *scratch = aligned_alloc(64, (size_t)pp_act(&update.actor, NULL, rows, NULL, NULL));
    pp_act(&update.actor, update.observations, rows, scratch, given);
    pp_explore(given, sac ? update.noise : NULL, rows, done, filled(rows * done, 0.0f));
    return sum_of(&update.actor) + sum_of(&values[0]) + sum_of(&targets[0]) + (double)given[0];
}

int main(void)
{
    double sum = 0.0;
    if (!pp_may_run()) {
        puts("finite: nothing runs here");
        return 0;
    }
    for (int form = 0; form < 4; form++) {
        sum += run(5, 1, 1, 3, 1, form & 1, form & 2);
        sum += run(37, 19, 3, 33, 2, form & 1, form & 2);
        sum += run(100, 33, 17, 64, 2, form & 1, form & 2);
    }
    printf("%s\n", isfinite(sum) ? "finite" : "not finite");
    return 0;
}
