//! Two-sample tests, distances and the statistics of experiments.

use mlops_core::stats::{
    ANDERSON_DARLING_LEVELS, Alternative, AndersonDarlingTies, BernoulliMsprt, ChangeDirection,
    ChiSquaredStatistic, ContingencyTable, CramerVonMisesMethod, CupedArm, KayentaClass, KayentaOptions,
    LogBase, MannWhitneyMethod, ProportionPower, StatsError, TTest, anderson_darling,
    bhattacharyya_coefficient, chebyshev_distance, cohens_d, cohens_h, cramer_von_mises, cuped,
    energy_distance, energy_distance_weighted, fisher_exact, goodness_of_fit, hellinger_distance,
    jensen_shannon_distance, jensen_shannon_divergence, kayenta_judge, kullback_leibler, mann_whitney_u,
    median_heuristic, mmd_rbf, probability_to_beat, sample_size_proportions, sample_size_t, student_t_test,
    total_variation, wasserstein_distance, wasserstein_distance_normed, wasserstein_distance_weighted,
    welch_t_test,
};
use serde_json::{Map, Value, json};

use super::{
    Answers, Runner, answers, binomial, decode, encode, encode_interval, encode_or_nan, number, numbers,
};

pub(crate) const RUNNERS: &[(&str, Runner)] = &[
    ("prob_distances", run_prob_distances),
    ("wasserstein_energy", run_wasserstein_energy),
    ("wasserstein_weighted", run_wasserstein_weighted),
    ("chi2_contingency", run_chi2_contingency),
    ("chisquare_homogeneity", run_chisquare_homogeneity),
    ("anderson_ksamp", run_anderson_ksamp),
    ("cramervonmises_2samp", run_cramervonmises_2samp),
    ("mannwhitneyu", run_mannwhitneyu),
    ("kayenta_mann_whitney", run_kayenta_mann_whitney),
    ("mmd_rbf", run_mmd_rbf),
    ("welch_t", run_welch_t),
    ("msprt_bernoulli", run_msprt_bernoulli),
    ("cuped", run_cuped),
    ("bayes_beta_binomial", run_bayes_beta_binomial),
    ("sample_size_proportions", run_sample_size_proportions),
    ("sample_size_t", run_sample_size_t),
];

fn counts(value: &Value) -> Vec<u64> {
    value.as_array().unwrap().iter().map(|count| count.as_u64().unwrap()).collect()
}

fn matrix(value: &Value) -> Vec<Vec<f64>> {
    let row = |row: &Value| row.as_array().unwrap().iter().map(|number| decode(number).unwrap()).collect();
    value.as_array().unwrap().iter().map(row).collect()
}

fn parameter(case: &Value, key: &str) -> f64 {
    decode(&case["params"][key]).unwrap()
}

fn run_prob_distances(case: &Value) -> Answers {
    let (p, q) = (numbers(case, "p"), numbers(case, "q"));
    Ok(answers([
        ("js_distance_base_e", encode(jensen_shannon_distance(&p, &q, LogBase::Natural)?)),
        ("js_distance_base_2", encode(jensen_shannon_distance(&p, &q, LogBase::Two)?)),
        ("js_divergence_base_e", encode(jensen_shannon_divergence(&p, &q, LogBase::Natural)?)),
        ("hellinger", encode(hellinger_distance(&p, &q)?)),
        ("kl_p_q", encode(kullback_leibler(&p, &q)?)),
        ("kl_q_p", encode(kullback_leibler(&q, &p)?)),
        ("total_variation", encode(total_variation(&p, &q)?)),
        ("l_infinity", encode(chebyshev_distance(&p, &q)?)),
        ("bhattacharyya_coefficient", encode(bhattacharyya_coefficient(&p, &q)?)),
    ]))
}

fn run_wasserstein_energy(case: &Value) -> Answers {
    let (x, y) = (numbers(case, "x"), numbers(case, "y"));
    Ok(answers([
        ("wasserstein_1", encode(wasserstein_distance(&x, &y)?)),
        ("wasserstein_normed_by_ref_std", encode(wasserstein_distance_normed(&x, &y, 1e-3)?)),
        ("energy_distance", encode(energy_distance(&x, &y)?)),
    ]))
}

fn run_wasserstein_weighted(case: &Value) -> Answers {
    let (x, y) = (numbers(case, "x"), numbers(case, "y"));
    let (x_weights, y_weights) = (numbers(case, "x_weights"), numbers(case, "y_weights"));
    Ok(answers([
        ("wasserstein_1", encode(wasserstein_distance_weighted(&x, &x_weights, &y, &y_weights)?)),
        ("energy_distance", encode(energy_distance_weighted(&x, &x_weights, &y, &y_weights)?)),
    ]))
}

fn run_chi2_contingency(case: &Value) -> Answers {
    let rows: Vec<Vec<u64>> = case["input"]["table"].as_array().unwrap().iter().map(counts).collect();
    let table = ContingencyTable::new(&rows)?;
    let pearson = table.chi_squared_test(ChiSquaredStatistic::Pearson);
    let g = table.chi_squared_test(ChiSquaredStatistic::LogLikelihood);
    let mut answers = answers([
        ("statistic", encode(pearson.statistic)),
        ("p", encode(pearson.p_value)),
        ("dof", json!(pearson.dof)),
        ("expected_freq", json!(table.expected())),
        ("g_statistic", encode(g.statistic)),
        ("g_p", encode(g.p_value)),
        ("cramers_v", encode(table.cramers_v())),
        ("cramers_v_bias_corrected", encode_or_nan(table.cramers_v_bias_corrected())?),
    ]);
    if pearson.dof == 1 {
        let yates = table.yates_test(ChiSquaredStatistic::Pearson)?;
        let fisher = fisher_exact(&table)?;
        answers.insert("yates_statistic".to_owned(), encode(yates.statistic));
        answers.insert("yates_p".to_owned(), encode(yates.p_value));
        answers.insert("fisher_odds_ratio".to_owned(), encode(fisher.odds_ratio));
        answers.insert("fisher_p".to_owned(), encode(fisher.p_value));
    }
    Ok(answers)
}

fn run_chisquare_homogeneity(case: &Value) -> Answers {
    let (observed, weights) = (counts(&case["input"]["observed"]), numbers(case, "reference_counts"));
    let pearson = goodness_of_fit(&observed, &weights, ChiSquaredStatistic::Pearson)?;
    let g = goodness_of_fit(&observed, &weights, ChiSquaredStatistic::LogLikelihood)?;
    Ok(answers([
        ("expected", json!(pearson.expected)),
        ("statistic", encode(pearson.test.statistic)),
        ("p", encode(pearson.test.p_value)),
        ("g_statistic", encode(g.test.statistic)),
        ("g_p", encode(g.test.p_value)),
    ]))
}

fn run_anderson_ksamp(case: &Value) -> Answers {
    let samples = matrix(&case["input"]["samples"]);
    let midrank = anderson_darling(&samples, AndersonDarlingTies::Midrank)?;
    let right = anderson_darling(&samples, AndersonDarlingTies::RightContinuous)?;
    let [largest, .., smallest] = ANDERSON_DARLING_LEVELS;
    Ok(answers([
        ("midrank_statistic", encode(midrank.statistic)),
        ("midrank_p_clipped", encode(midrank.p_value)),
        ("right_statistic", encode(right.statistic)),
        ("right_p_clipped", encode(right.p_value)),
        ("critical_values", json!(midrank.critical_values)),
        ("p_clip_range", json!([smallest, largest])),
    ]))
}

fn run_cramervonmises_2samp(case: &Value) -> Answers {
    let (x, y) = (numbers(case, "x"), numbers(case, "y"));
    let auto = cramer_von_mises(&x, &y, CramerVonMisesMethod::Auto)?;
    let asymptotic = cramer_von_mises(&x, &y, CramerVonMisesMethod::Asymptotic)?;
    let exact = cramer_von_mises(&x, &y, CramerVonMisesMethod::Exact);
    Ok(answers([
        ("statistic", encode(auto.statistic)),
        ("p_asymptotic", encode(asymptotic.p_value)),
        ("p_exact", encode_or_nan(exact.map(|test| test.p_value))?),
        ("p_auto", encode(auto.p_value)),
    ]))
}

fn run_mannwhitneyu(case: &Value) -> Answers {
    let (x, y) = (numbers(case, "x"), numbers(case, "y"));
    let alternatives = [
        ("two-sided", Alternative::TwoSided),
        ("less", Alternative::Less),
        ("greater", Alternative::Greater),
    ];
    let methods = [
        ("asymp_cc", MannWhitneyMethod::Asymptotic),
        ("asymp", MannWhitneyMethod::AsymptoticUncorrected),
        ("auto", MannWhitneyMethod::Auto),
        ("exact", MannWhitneyMethod::Exact),
    ];
    let mut answers = Map::new();
    for (side, alternative) in alternatives {
        for (name, method) in methods {
            let p_value = mann_whitney_u(&x, &y, alternative, method).map(|test| test.p_value);
            answers.insert(format!("{side}_p_{name}"), encode_or_nan(p_value)?);
        }
    }
    let test = mann_whitney_u(&x, &y, Alternative::TwoSided, MannWhitneyMethod::Auto)?;
    answers.insert("u1".to_owned(), encode(test.u1));
    answers.insert("u2".to_owned(), encode(test.u2));
    answers.insert("cles".to_owned(), encode(test.common_language_effect()));
    Ok(answers)
}

fn run_kayenta_mann_whitney(case: &Value) -> Answers {
    let direction = match case["params"]["direction"].as_str().unwrap() {
        "increase" => ChangeDirection::Increase,
        "decrease" => ChangeDirection::Decrease,
        _ => ChangeDirection::Either,
    };
    let options = KayentaOptions::default()
        .with_direction(direction)
        .with_allowed_ratios(parameter(case, "allowedIncrease"), parameter(case, "allowedDecrease"));
    let judgement = kayenta_judge(&numbers(case, "control"), &numbers(case, "experiment"), options)?;
    let class = match judgement.class {
        KayentaClass::Pass => "Pass",
        KayentaClass::High => "High",
        KayentaClass::Low => "Low",
    };
    let mut answers = answers([
        ("classification", json!(class)),
        ("mean_ratio", encode(judgement.mean_ratio.unwrap_or(f64::NAN))),
    ]);
    match judgement.shift {
        Some(shift) => {
            answers.insert("ci_lower".to_owned(), encode(shift.interval.lower));
            answers.insert("ci_upper".to_owned(), encode(shift.interval.upper));
            answers.insert("estimate_interval".to_owned(), encode_interval(shift.zero));
        }
        None => {
            answers.insert("reason".to_owned(), json!("identical"));
        }
    }
    Ok(answers)
}

fn run_mmd_rbf(case: &Value) -> Answers {
    let (x, y) = (matrix(&case["input"]["x"]), matrix(&case["input"]["y"]));
    let dimension = x[0].len();
    let (x, y) = (x.concat(), y.concat());
    let mmd = mmd_rbf(&x, &y, dimension, parameter(case, "sigma"))?;
    Ok(answers([
        ("mmd2_biased", encode(mmd.biased)),
        ("mmd2_unbiased", encode(mmd.unbiased)),
        ("median_heuristic_sigma", encode(median_heuristic(&x, &y, dimension)?)),
    ]))
}

fn run_welch_t(case: &Value) -> Answers {
    let (x, y) = (numbers(case, "x"), numbers(case, "y"));
    let (welch, student) = (welch_t_test(&x, &y), student_t_test(&x, &y));
    let p_value = |test: &Result<TTest, StatsError>, alternative| {
        encode_or_nan(test.clone().and_then(|test| test.p_value(alternative)))
    };
    // scipy reports one degree of freedom where there is no statistic.
    let dof = welch.as_ref().map_or(1.0, |test| test.dof);
    let mut answers = answers([
        ("t", encode_or_nan(welch.clone().map(|test| test.statistic))?),
        ("p", p_value(&welch, Alternative::TwoSided)?),
        ("p_less", p_value(&welch, Alternative::Less)?),
        ("p_greater", p_value(&welch, Alternative::Greater)?),
        ("df", encode(dof)),
        ("student_t", encode_or_nan(student.clone().map(|test| test.statistic))?),
        ("student_p", p_value(&student, Alternative::TwoSided)?),
        ("cohens_d", encode_or_nan(cohens_d(&x, &y))?),
    ]);
    if let Ok(test) = welch {
        answers.insert("ci95".to_owned(), encode_interval(test.interval(0.95)?));
    }
    Ok(answers)
}

fn run_msprt_bernoulli(case: &Value) -> Answers {
    let (a, b) = (counts(&case["input"]["a"]), counts(&case["input"]["b"]));
    let alpha = parameter(case, "alpha");
    let looks = counts(&case["expected"]["n"]);
    let mut test = BernoulliMsprt::new(parameter(case, "tau2"))?;
    let mut first = None;
    let [mut n, mut lambda, mut p, mut lower, mut upper] = [const { Vec::new() }; 5];
    for (a, b) in a.iter().zip(&b) {
        test.observe(*a == 1, *b == 1);
        if first.is_none() && test.p_value() <= alpha {
            first = Some(test.pairs());
        }
        if looks.contains(&test.pairs()) {
            let interval = test.interval(alpha)?;
            n.push(json!(test.pairs()));
            lambda.push(encode(test.log_lambda().exp()));
            p.push(encode(test.p_value()));
            lower.push(encode(interval.lower));
            upper.push(encode(interval.upper));
        }
    }
    Ok(answers([
        ("n", json!(n)),
        ("lambda", json!(lambda)),
        ("p_always_valid", json!(p)),
        ("ci_lower", json!(lower)),
        ("ci_upper", json!(upper)),
        ("first_n_with_p_le_alpha", json!(first)),
    ]))
}

fn run_cuped(case: &Value) -> Answers {
    let [control_before, control_during, treatment_before, treatment_during] =
        ["control_pre", "control_post", "treatment_pre", "treatment_post"].map(|key| numbers(case, key));
    let control = CupedArm { before: &control_before, during: &control_during };
    let treatment = CupedArm { before: &treatment_before, during: &treatment_during };
    let result = cuped(control, treatment)?;
    Ok(answers([
        ("theta", encode(result.theta)),
        ("control_mean_adj", encode(result.control_mean)),
        ("treatment_mean_adj", encode(result.treatment_mean)),
        ("diff", encode(result.test.difference)),
        ("se", encode(result.test.standard_error)),
        ("welch_t", encode(result.test.statistic)),
        ("welch_p", encode(result.test.p_value(Alternative::TwoSided)?)),
        ("welch_df", encode(result.test.dof)),
        ("variance_reduction_pooled", encode(result.variance_reduction)),
    ]))
}

fn run_bayes_beta_binomial(case: &Value) -> Answers {
    let probability = probability_to_beat(binomial(case, "xa", "na")?, binomial(case, "xb", "nb")?)?;
    Ok(answers([("prob_b_beats_a", encode(probability))]))
}

fn run_sample_size_proportions(case: &Value) -> Answers {
    let (p1, p2) = (number(case, "p1"), number(case, "p2"));
    let n = |method| sample_size_proportions(p1, p2, number(case, "alpha"), number(case, "power"), method);
    Ok(answers([
        ("cohens_h", encode(cohens_h(p2, p1)?)),
        ("n_per_arm_arcsine", encode(n(ProportionPower::Arcsine)?)),
        ("n_per_arm_pooled_z", encode(n(ProportionPower::PooledZ)?)),
    ]))
}

fn run_sample_size_t(case: &Value) -> Answers {
    let n = sample_size_t(number(case, "effect_size_d"), number(case, "alpha"), number(case, "power"))?;
    Ok(answers([("n_per_arm", encode(n))]))
}
