/* precision.c - the words of trainer.precision
 *
 * A plan keeps the word its author wrote, and its hash is of that; what it means is asked here.
 */
#include "proto/plan.h"

#include "base/auto.h"
#include "base/str.h"

static const struct {
    const char *word;
    enum lt_plan_precision is;
} words[] = {{"64-true", LT_PLAN_F64},
             {"64", LT_PLAN_F64},
             {"bf16-mixed", LT_PLAN_BF16_MIXED},
             {"bf16", LT_PLAN_BF16_MIXED}};

enum lt_plan_precision lt_plan_precision(const Lt__V1__TrainingPlan *plan)
{
    const char *word = plan && plan->trainer ? plan->trainer->precision : NULL;

    for (size_t i = 0; i < LT_ARRAY_LEN(words); i++)
        if (lt_str_eq(words[i].word, word))
            return words[i].is;
    return LT_PLAN_F32;
}
