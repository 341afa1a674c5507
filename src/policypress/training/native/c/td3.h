/* TD3 (Fujimoto et al. 2018) and DDPG (Lillicrap et al. 2016), as Stable-Baselines3 has them. */
#ifndef PP_TD3_H
#define PP_TD3_H
#include "update.h"

/* Actions of a deterministic actor: its outputs, squashed, with noise where there is some. */
static void pp_decide(const pp_update *update, const pp_network *actor, pp_space *space, const float *observations,
                      int learns, pp_pass *pass, float *chosen)
{
    const pp_int batch = (pp_int)update->batch, actions = (pp_int)update->action_size, last = (pp_int)actor->count;
    pp_renew(actor, learns, -1, &space->actor);
    pp_read(pass, observations, (pp_int)update->observation_size);
    pp_forward(actor, &space->actor, &space->work, batch, pass, learns);
    for (pp_int r = 0; r < batch; r++)
        for (pp_int i = 0; i < actions; i++)
            chosen[r * actions + i] = tanhf(pass->x[last][r * pass->stride[last] + i]);
}

/* The critics learn. */
static void pp_td3_values(const pp_update *update, pp_space *space)
{
    pp_decide(update, &update->actor_target, space, update->next_observations, 0, &space->next_pass,
              space->next_chosen);
    for (pp_int i = 0; i < update->batch * update->action_size; i++) {
        const float moved = space->next_chosen[i] + update->next_noise[i], most = moved < 1.0f ? moved : 1.0f;
        space->next_chosen[i] = most > -1.0f ? most : -1.0f;
    }
    pp_find_goals(update, space, NULL, 0.0f);
    pp_learn_values(update, space, 1.0);
}

/* The actor learns: its loss is the mean of −value by the first critic. */
static void pp_td3_actions(const pp_update *update, pp_space *space)
{
    const pp_int batch = (pp_int)update->batch, actions = (pp_int)update->action_size;
    double loss = 0.0;
    pp_decide(update, &update->actor, space, update->observations, 1, &space->actor_pass, space->chosen);
    pp_judge(update, space, 1);
    for (pp_int r = 0; r < batch; r++) {
        loss -= (double)pp_value(update, space, 0, r);
        space->work.slopes[0][r * space->work.slope_stride] = -1.0f / (float)batch;
    }
    update->losses[1] = (float)(loss / (double)batch);
    pp_clear(space->slope, batch * actions * (pp_int)sizeof(float));
    pp_blame_actions(update, space, 0);
    for (pp_int r = 0; r < batch; r++)
        for (pp_int i = 0; i < actions; i++) {
            const float action = space->chosen[r * actions + i];
            space->work.slopes[0][r * space->work.slope_stride + i] =
                space->slope[r * actions + i] * (1.0f - action * action);
        }
    pp_learner learner = {&update->actor_adam, NULL};
    pp_backward(&update->actor, &space->actor, &space->work, batch, &space->actor_pass, &learner);
}
#endif
