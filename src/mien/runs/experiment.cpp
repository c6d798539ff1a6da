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
  options.add(&teacher,
              {.name = "teacher",
               .help = "weights files, run folders or an ensemble's folder whose mean logits the network learns beside "
                       "the labels; they are computed once and kept in the run folder",
               .source = "Hinton, Vinyals and Dean 2015, arXiv:1503.02531"});
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
  options.add(&calibrate,
              {.name = "calibrate",
               .help = "fit a temperature on the validation rows and store it with the best weights; all probabilities "
                       "that are predicted with them use it",
               .source = "Guo et al. 2017, section 4.2"});
  bind_pictures(options);
}

void bind_views(OptionSet& options, std::string& views, bool& flip_average) {
  options.add(
      &views,
      {.name = "tta",
       .help = "judge and predict with the mean logits of several views of each face: flip (its mirror image, 2 "
               "times the time), shifts (5 times), five-crop (5 times), ten-crop (10 times)",
       .choices = evaluation::views_names()});
  options.add(&flip_average, {.name = "tta-flip", .help = "the same as --tta flip"});
}

evaluation::PredictOptions prediction_options(const std::string& views, bool flip_average) {
  return {.views = flip_average && views == "none" ? evaluation::Views::flip : evaluation::views_from_text(views)};
}

evaluation::PredictOptions RunEvaluationOptions::prediction() const { return prediction_options(views, flip_average); }

void RunEvaluationOptions::bind_pictures(OptionSet& options) {
  options.group("evaluation", "judge");
  bind_views(options, views, flip_average);
  options.add(&cells,
              {.name = "gallery-cells",
               .help = "galleries of misclassified faces to make, each as true:predicted, such as sad:neutral; "
                       "any stands for every other class (fear:any, any:sad)",
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
    // What a command has beside its experiment stays with the command.
    if (entry.origin != Origin::default_value && target.find(entry.spec.name) != nullptr)
      target.set(entry.spec.name, entry.text(), entry.origin, entry.origin_detail);
  }
}

}  // namespace mien::runs
