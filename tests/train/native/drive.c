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

static pp_network network(const pp_int *widths, pp_int count, int64_t parts, int64_t activation)
{
    pp_layer *layers = (pp_layer *)calloc((size_t)count, sizeof(pp_layer));
    for (pp_int l = 0; l < count; l++) {
        pp_layer *layer = &layers[l];
        layer->inputs = widths[l];
        layer->parts = l + 1 == count ? parts : 1;
        layer->activation = l + 1 < count ? activation : PP_NO_ACTIVATION;
        layer->outputs = widths[l + 1] * layer->parts;
        for (int64_t p = 0; p < layer->parts; p++) {
            layer->weight[p] = tensor(widths[l] * widths[l + 1]);
            layer->bias[p] = tensor(widths[l + 1]);
        }
    }
    const pp_network made = {layers, count};
    return made;
}

static pp_observer_range observer_range(const pp_layer *layer, int64_t l)
{
    const pp_observer_range made = {filled(1, 0.0f), filled(1, 0.0f), l == 0 ? filled(layer->inputs, 0.0f) : NULL};
    return made;
}

/* Quantize every layer, or the first part of each that has two; with extents in force of their own, or not. */
static void quantize(pp_network *net, int held)
{
    for (int64_t l = 0; l < net->count; l++) {
        pp_layer *layer = (pp_layer *)&net->layers[l];
        const int rectifies = l > 0 && layer->parts == 1 && net->layers[l - 1].activation == PP_RELU;
        const pp_observer_range running = observer_range(layer, l), active = held ? observer_range(layer, l) : running;
        const pp_quantizer own = {running, active, 127, 255, 1, rectifies};
        layer->quantizer[0] = own;
        if (held)
            *active.max = 1.0f;
        if (rectifies)
            ((pp_layer *)&net->layers[l - 1])->activation = PP_NO_ACTIVATION;
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
    const pp_int actor_widths[] = {seen, width, width + 1, done}, critic_widths[] = {seen + done, width, width + 1, 1};
    pp_network values[2], targets[2];
    float losses[4];
    for (int64_t c = 0; c < critics; c++) {
        values[c] = network(critic_widths, 3, 1, PP_RELU);
        targets[c] = network(critic_widths, 3, 1, PP_RELU);
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
                        .actor = network(actor_widths, 3, sac ? 2 : 1, PP_RELU),
                        .actor_target = network(actor_widths, 3, 1, PP_RELU),
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
        quantize(&values[c], 0);
        quantize(&targets[c], 0);
    }
    if (quantized) {
        quantize(&update.actor, 0);
        quantize(&update.actor_target, 0);
    }
    update.scratch = aligned_alloc(64, (size_t)pp_scratch_bytes(&update));
    const pp_memory memory = {filled(2 * seen, 1.0f), filled(2 * seen, 1.0f), filled(2 * done, 1.0f),
                              filled(2, 1.0f),        filled(2, 0.0f),        filled(2, 0.0f)};
    int64_t *indices = (int64_t *)malloc((size_t)batch * sizeof(int64_t));
    for (int64_t r = 0; r < batch; r++)
        indices[r] = r % 2;
    pp_sample_replay(&memory, indices, &update);
    for (int step = 0; step < 3; step++) {
        (sac ? pp_sac_update_critics : pp_td3_update_critics)(&update);
        (sac ? pp_sac_update_actor : pp_td3_update_actor)(&update);
        pp_polyak_update(targets, values, critics, 0.005);
        if (!sac)
            pp_polyak_update(&update.actor_target, &update.actor, 1, 0.005);
    }
    const int64_t rows = batch < 3 ? batch : 3;
    float *given = filled(2 * done * rows, 0.0f);
    void *scratch = aligned_alloc(64, (size_t)pp_act(&update.actor, NULL, rows, 0, NULL, NULL));
    for (int64_t cached = 0; cached < 2; cached++)
        pp_act(&update.actor, update.observations, rows, cached, scratch, given);
    pp_explore(given, sac ? update.noise : NULL, rows, done, filled(rows * done, 0.0f));
    return sum_of(&update.actor) + sum_of(&values[0]) + sum_of(&targets[0]) + (double)given[0];
}

/* DQN's network. */
static double run_values(int64_t batch, pp_int seen, pp_int done, pp_int width, int quantized)
{
    const pp_int widths[] = {seen, width, width + 1, done};
    const pp_adam adam = {1e-3, 0.9, 0.999, 1e-8, 0.0};
    float losses[4], *actions = filled(batch, 0.0f);
    for (int64_t r = 0; r < batch; r++)
        actions[r] = (float)(r % done);
    pp_update update = {.observations = filled(batch * seen, 1.0f),
                        .actions = actions,
                        .next_observations = filled(batch * seen, 1.0f),
                        .rewards = filled(batch, 1.0f),
                        .dones = filled(batch, 0.0f),
                        .batch = batch,
                        .observation_size = seen,
                        .actor = network(widths, 3, 1, PP_RELU),
                        .actor_target = network(widths, 3, 1, PP_RELU),
                        .actor_adam = adam,
                        .gamma = 0.99,
                        .max_grad_norm = 0.1,
                        .losses = losses};
    if (quantized) {
        quantize(&update.actor, 0);
        quantize(&update.actor_target, 0);
    }
    update.scratch = aligned_alloc(64, (size_t)pp_scratch_bytes(&update));
    for (int step = 0; step < 3; step++) {
        for (update.target_cached = 0; update.target_cached < 2; update.target_cached++)
            pp_dqn_update(&update);
        pp_polyak_update(&update.actor_target, &update.actor, 1, 0.5);
    }
    return sum_of(&update.actor) + (double)losses[0];
}

/* PPO, with a last minibatch that is smaller. */
static double run_rollout(int64_t batch, pp_int seen, pp_int done, pp_int width, int discrete, int quantized)
{
    const pp_int actor_widths[] = {seen, width, width + 1, done}, critic_widths[] = {seen, width + 2, width, 1};
    const pp_adam adam = {1e-3, 0.9, 0.999, 1e-8, 0.0};
    const int64_t steps = batch + batch / 2 + 1;
    float losses[PP_LOSSES], *actions = filled(steps * (discrete ? 1 : done), 1.0f);
    for (int64_t r = 0; discrete && r < steps; r++)
        actions[r] = (float)(r % done);
    pp_rollout rollout = {.observations = filled(steps * seen, 1.0f),
                          .actions = actions,
                          .values = filled(steps, 1.0f),
                          .log_probs = filled(steps, 1.0f),
                          .advantages = filled(steps, 1.0f),
                          .returns = filled(steps, 1.0f),
                          .batch = batch,
                          .observation_size = seen,
                          .action_size = done,
                          .normalize_advantage = 1,
                          .actor = network(actor_widths, 3, 1, PP_TANH),
                          .critic = network(critic_widths, 3, 1, PP_RELU),
                          .adam = adam,
                          .clip_range = 0.2,
                          .clip_range_vf = discrete ? -1.0 : 0.2,
                          .ent_coef = 0.01,
                          .vf_coef = 0.5,
                          .max_grad_norm = 0.5,
                          .target_kl = -1.0,
                          .losses = losses};
    if (!discrete)
        rollout.log_std = tensor(done);
    if (quantized) {
        quantize(&rollout.actor, 1);
        quantize(&rollout.critic, 1);
    }
    rollout.scratch = aligned_alloc(64, (size_t)pp_rollout_scratch_bytes(&rollout));
    int64_t *indices = (int64_t *)malloc((size_t)steps * sizeof(int64_t));
    for (int64_t r = 0; r < steps; r++)
        indices[r] = steps - 1 - r;
    for (int epoch = 0; epoch < 3; epoch++) {
        pp_ppo_update(&rollout, indices, batch);
        pp_ppo_update(&rollout, indices + batch, steps - batch);
    }
    return sum_of(&rollout.actor) + sum_of(&rollout.critic) + (double)losses[3];
}

int main(void)
{
    double sum = 0.0;
    if (!pp_supported()) {
        puts("finite: nothing runs here");
        return 0;
    }
    for (int form = 0; form < 4; form++) {
        sum += run(5, 1, 1, 3, 1, form & 1, form & 2);
        sum += run(37, 19, 3, 33, 2, form & 1, form & 2);
        sum += run(100, 33, 17, 64, 2, form & 1, form & 2);
        sum += run_values(37, 5, 3, 33, form & 2);
        sum += run_rollout(5, 1, 1, 3, form & 1, form & 2);
        sum += run_rollout(64, 19, 6, 40, form & 1, form & 2);
    }
    printf("%s\n", isfinite(sum) ? "finite" : "not finite");
    return 0;
}
