#!/usr/bin/env Rscript
# Reference values for src/analysis/stats: r.json, from samples.json (see reference.py).
# Needs the packages jsonlite, coin and mcmc. Versions stand in the output.
suppressPackageStartupMessages({ library(jsonlite); library(coin); library(mcmc) })
here <- dirname(sub("--file=", "", grep("--file=", commandArgs(), value = TRUE)))
samples <- fromJSON(file.path(here, "samples.json"), simplifyVector = FALSE)
pairs <- lapply(samples$pairs, function(pair) lapply(pair, function(x) as.numeric(unlist(x))))
series <- lapply(samples$series, function(x) as.numeric(unlist(x)))
constant <- function(x) length(unique(x)) == 1

# Exact midrank distribution with ties: coin's split-up and shift algorithms.
exact <- function(pair) {
  a <- pair[[1]]; b <- pair[[2]]
  if (constant(c(a, b)) || length(a) * length(b) > 10000) return(NULL)
  group <- factor(rep(c("a", "b"), c(length(a), length(b))))
  as.numeric(pvalue(wilcox_test(c(a, b) ~ group, distribution = "exact")))
}
# wilcox.test's interval is that of the exact distribution only without ties.
shift <- function(pair, level, f = identity) {
  a <- f(pair[[1]]); b <- f(pair[[2]])
  if (anyDuplicated(c(a, b)) || length(a) * length(b) > 10000) return(NULL)
  found <- suppressWarnings(wilcox.test(b, a, conf.int = TRUE, conf.level = level, exact = TRUE))
  list(estimate = unname(found$estimate), low = found$conf.int[1], high = found$conf.int[2],
       level = attr(found$conf.int, "conf.level"))
}
levels <- function(pair, f = identity) {
  found <- lapply(c("0.8" = 0.8, "0.9" = 0.9, "0.95" = 0.95, "0.99" = 0.99), function(level) shift(pair, level, f))
  found[!sapply(found, is.null)]
}
median_difference <- function(pair) median(outer(pair[[2]], pair[[1]], "-"))
pseudo_median <- function(x) { w <- outer(x, x, "+") / 2; median(w[!lower.tri(w)]) }
# n * gamma_0 / (2 * sum of the initial monotone sequence - gamma_0)
effective <- function(x) { if (constant(x)) return(length(x)); s <- initseq(x); length(x) * s$gamma0 / s$var.dec }
correlations <- function(x) if (constant(x)) NULL else as.numeric(acf(x, lag.max = 2, plot = FALSE)$acf)
drop <- function(l) l[!sapply(l, is.null)]

found <- list(
  versions = list(R = as.character(getRversion()), coin = as.character(packageVersion("coin")),
                  mcmc = as.character(packageVersion("mcmc"))),
  mann_whitney = drop(lapply(pairs, exact)),
  median_difference = lapply(pairs, median_difference),
  shift = drop(lapply(pairs, function(pair) { l <- levels(pair); if (length(l)) l })),
  log_shift = drop(lapply(pairs, function(pair) { l <- levels(pair, log); if (length(l)) l })),
  pseudo_median = lapply(series, pseudo_median),
  holm = lapply(samples$p_values, function(p) p.adjust(as.numeric(unlist(p)), "holm")),
  autocorrelation = drop(lapply(series, correlations)),
  effective_sample_size = lapply(series, effective)
)
write(toJSON(found, auto_unbox = TRUE, digits = I(17), pretty = TRUE), file.path(here, "r.json"))
