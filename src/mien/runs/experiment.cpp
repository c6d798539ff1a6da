#include "mien/runs/experiment.h"

namespace mien::runs {

void RunOptions::bind(OptionSet& options) {
  options.group("run");
  options.add(&network,
              {.name = "network",
               .help = "a built-in network (`mien networks list`) or the path of a network file",
               .level = OptionLevel::common});
  options.add(&project,
              {.name = "project", .help = "folder that run folders are made in", .level = OptionLevel::common});
  options.add(&name,
              {.name = "name",
               .help = "name of the run folder; the default is the network's or recipe's name, and a number is added "
                       "where it is taken",
               .level = OptionLevel::common});
  options.add(
      &exist_ok,
      {.name = "exist-ok",
       .help = "write into an existing run folder of that name; what Mien wrote there is removed, other files stay",
       .level = OptionLevel::common});
  options.add(&weights,
              {.name = "weights",
               .help = "weights file or run folder whose weights training starts from; the default starts fresh",
               .level = OptionLevel::common});
  options.add(&threads,
              {.name = "threads",
               .help = "threads to compute with; 0 takes all cores",
               .minimum = 0,
               .maximum = 1024,
               .level = OptionLevel::common});
}

void RunEvaluationOptions::bind(OptionSet& options) {
  options.group("evaluation", "judge");
  options.add(&test_data,
              {.name = "test-data",
               .help = "csv to predict with the trained network into predictions_test.csv (id,label)",
               .level = OptionLevel::common});
  bind_pictures(options);
}

void RunEvaluationOptions::bind_pictures(OptionSet& options) {
  options.group("evaluation", "judge");
  options.add(&flip_average,
              {.name = "tta-flip", .help = "judge and predict with the mean logits of each face and its mirror image"});
  options.add(&cells,
              {.name = "gallery-cells",
               .help = "galleries of misclassified faces to make, each as true:predicted, such as sad:neutral",
               .aliases = {"cells"},
               .level = OptionLevel::common});
  options.add(&gallery_faces, {.name = "gallery-faces", .help = "faces in each gallery", .minimum = 1, .maximum = 400});
  options.add(
      &top_losses,
      {.name = "top-losses", .help = "faces in the picture of the largest losses", .minimum = 1, .maximum = 400});
}

void EnsembleOptions::bind(OptionSet& options) {
  options.group("ensemble");
  options.add(
      &members,
      {.name = "members",
       .help = "train this many networks with seeds (of weights and of the split) that count up; 0 or 1 trains one",
       .minimum = 0,
       .maximum = 1000,
       .level = OptionLevel::common});
  options.add(&vote,
              {.name = "vote",
               .help = "how the members' predictions are combined for prediction",
               .choices = {"majority", "mean-probability", "mean-logit", "weighted"},
               .only_with = {{"members", "!0,1"}}});
  options.add(&holdout,
              {.name = "holdout",
               .help = "where the data has no test rows, the part of the training rows that no member sees and the "
                       "vote is judged on",
               .minimum = 0.01,
               .maximum = 0.9,
               .only_with = {{"members", "!0,1"}}});
}

void Experiment::bind(OptionSet& options) {
  run.bind(options);
  data.bind(options);
  split.bind(options);
  leaks.bind(options);
  augment.bind(options);
  train.bind(options);
  ensemble.bind(options);
  judge.bind(options);
}

void copy_options(const OptionSet& source, OptionSet& target) {
  for (const OptionSet::Entry& entry : source.entries()) {
    if (entry.origin != Origin::default_value)
      target.set(entry.spec.name, entry.text(), entry.origin, entry.origin_detail);
  }
}

}  // namespace mien::runs
