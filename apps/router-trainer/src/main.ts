import { runTrainer } from './run-trainer.ts';

await runTrainer(process.env);
