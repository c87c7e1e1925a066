/* schedule.c - which steps run piece by piece of the batch
 *
 * Steps that follow each other and work on samples become a group: each piece of the batch goes
 * through all of them, so that what one makes of it is in the cache when the next reads it; threads
 * share the pieces. Only where no operand of one lies on another's: the memory plan reuses what a
 * whole step is done with.
 */
#include "engine/cpu/program_in.h"

#include "base/arena.h"
#include "base/mem.h"

static void group_fn(const void *args, int64_t begin, int64_t end)
{
    const struct lt_step_group *g = args;

    for (int64_t piece = begin; piece < end; piece++) {
        int64_t from = piece * g->chunk, to = LT_MIN(from + g->chunk, g->samples);

        for (int i = 0; i < g->n_steps; i++) {
            const struct lt_step *s = g->steps[i];
            int64_t per =
                s->units / g->samples; /* 0, or the units aren't whole samples': one a piece */

            if (s->units == g->samples * per)
                s->fn(s->args, from * per, to * per);
            else
                s->fn(s->args, piece, piece + 1);
        }
    }
}

static bool overlap(const struct lt_plan *plan, lt_id a, lt_id b)
{
    const struct lt_slot *x = &plan->slots[a], *y = &plan->slots[b];

    if (a == b || x->region != LT_REGION_ARENA || y->region != LT_REGION_ARENA)
        return false;
    return x->offset < y->offset + y->bytes && y->offset < x->offset + x->bytes;
}

static lt_id operand(const struct lt_node *n, int i)
{
    return i < n->n_in ? n->in[i] : n->out[i - n->n_in];
}

static int operands(const struct lt_node *n, const struct lt_step *s)
{
    return n->n_in + (s->gathered ? 0 : n->n_out);
}

/* The memory plan thinks of one step after the other. Piece by piece, no operand of one may lie on
 * another's. */
static bool steps_clash(const struct lt_graph *g, const struct lt_plan *plan,
                        const struct lt_step *one, const struct lt_step *other)
{
    const struct lt_node *a = &g->nodes[one->node], *b = &g->nodes[other->node];

    for (int i = 0; i < operands(a, one); i++)
        for (int k = 0; k < operands(b, other); k++)
            if (overlap(plan, operand(a, i), operand(b, k)))
                return true;
    return false;
}

/* Does the step read what a deferred one will only write at the group's end? */
static bool reads_deferred(const struct lt_graph *g, const struct lt_step *s,
                           const struct lt_step *d)
{
    const struct lt_node *n = &g->nodes[s->node], *from = &g->nodes[d->node];

    for (int i = 0; d->deferred && i < n->n_in; i++)
        for (int o = 0; o < from->n_out; o++)
            if (n->in[i] == from->out[o])
                return true;
    return false;
}

/* How many steps from `first` on can be one group (deferred ones among them). */
static int group_reach(const struct lt_program *p, const struct lt_plan *plan, int first)
{
    const struct lt_step *s = &p->steps[first];
    int end = first + 1;

    for (; end < p->n_steps; end++) {
        const struct lt_step *next = &p->steps[end];

        if (next->deferred)
            continue;
        if (next->samples != s->samples || next->chunk != s->chunk)
            break;
        for (int i = first; i < end; i++)
            if (steps_clash(p->g, plan, &p->steps[i], next) ||
                reads_deferred(p->g, next, &p->steps[i]))
                return end;
    }
    return end;
}

static void list_add(struct lt_program *p, const struct lt_step *s)
{
    if (s->idle && s->idle(s->args))
        return;
    p->list[p->n_list++] = *s;
}

static void list_add_group(struct lt_program *p, int first, int end)
{
    struct lt_step_group *g = lt_arena_alloc(p->memory, sizeof *g);
    struct lt_step s = p->steps[first];

    g->steps = lt_arena_alloc(p->memory, (size_t)(end - first) * sizeof(struct lt_step *));
    g->samples = s.samples;
    g->chunk = s.chunk;
    s.ns = 0;
    for (int i = first; i < end; i++)
        if (!p->steps[i].deferred) {
            g->steps[g->n_steps++] = &p->steps[i];
            s.ns += p->steps[i].ns;
        }
    s.fn = group_fn;
    s.args = g;
    s.units = lt_pieces(g->samples, g->chunk);
    s.threads = LT_MIN(lt_cpu_threads(p->d, s.ns), (int)s.units);
    s.check = NULL;
    list_add(p, &s);
    for (int i = first; i < end; i++)
        if (p->steps[i].deferred)
            list_add(p, &p->steps[i]);
}

void lt_program_schedule(struct lt_program *p, const struct lt_plan *plan)
{
    lt_free(p->list);
    p->list = lt_calloc((size_t)p->n_steps + 1, sizeof *p->list);
    p->n_list = 0;
    for (int i = 0; i < p->n_steps;) {
        int end = p->steps[i].samples ? group_reach(p, plan, i) : i + 1, sliced = 0;

        for (int k = i; k < end; k++)
            sliced += !p->steps[k].deferred;
        if (sliced > 1)
            list_add_group(p, i, end);
        for (; i < end; i++)
            if (sliced < 2)
                list_add(p, &p->steps[i]);
    }
}

const struct lt_step_group *lt_step_group_of(const struct lt_step *s)
{
    return s->fn == group_fn ? s->args : NULL;
}
